"""The report's page, live: as a tab of TensorBoard, from ``saliency-callbacks view``, and in a notebook.

It reads what a :class:`~saliency_callbacks.sinks.DiskSink` wrote, and writes nothing. It needs no torch.
"""
