"""Every name that version 0.1.0 documented is imported from where it was."""

from __future__ import annotations

from importlib import import_module

import pytest

NAMES = {
    "saliency_callbacks": """
        Attribution CueAlarm DataRandomizationResult FaithfulnessTest Perturbation Probe RandomizationResult
        RandomizationTest SaliencyMonitor Snapshot TokenSaliencyMonitor data_randomization_test explain
        randomization_test""",
    "saliency_callbacks.callbacks": "SaliencyMonitor",
    "saliency_callbacks.demo": """
        METHODS PATCH PATCHED_CLASS TESTED DemoResult Digits SmallCNN load_tinted_digits make_probe run_demo""",
    "saliency_callbacks.errors": """
        ConfigurationError CueAlarmWarning CueError DegenerateMapWarning InputError LayerError MethodError
        ObservationError OutputError PictureError ProbeError RankError ReluError SaliencyError SaliencyWarning
        TargetError nearest_names""",
    "saliency_callbacks.functional": """
        attention_relevance attention_rollout attention_sensitivity bootstrap_lower_bound class_contrast clip_and_scale
        convergence_delta cosine degenerate distribution entropy flip_rate flips fuse gini grad_cam grad_cam_plus_plus
        hires_cam hog hog_similarity layer_cam margin
        margin_effects margins merge_words noise_scale normalize pearson percentile pointing_game quadrature rank
        rank_accuracy reduce_channels region_auc region_lift region_mass resize rule_of_three signed_map spearman
        spearman_from_ranks ssim top_k_overlap unit_ranks variance word_units xgrad_cam""",
    "saliency_callbacks.methods": """
        AttentionRollout BUILT_IN ENTRY_POINT_GROUP Deconvnet GradCAM GradCAMPlusPlus Gradient GradientXAttention
        GuidedBackprop GuidedGradCAM HiResCAM InputXGradient IntegratedGradients LayerCAM LeGrad SmoothGrad
        XGradCAM resolve_methods""",
    "saliency_callbacks.probe": """
        BackgroundCue BrightnessCue ChannelShiftCue FunctionCue ImageCue PatchCue Probe ProbeBatch TokenCue TokenTexts
        candidate_indices class_indices class_names copy_inputs dataset_labels fingerprint freeze normalization
        stratified token_texts unpack_batch""",
    "saliency_callbacks.randomization": "DataRandomizationResult RandomizationResult randomization_test",
    "saliency_callbacks.replay": "Checkpoint Replayed Run find_checkpoints load_run replay",
    "saliency_callbacks.report": "write_report",
    "saliency_callbacks.scores": """
        SIMILARITIES Similarity TopToken by_group concentration describe_degenerate drift localization mean_of_finite
        ranks resolve_similarities top_tokens top_tokens_table""",
    "saliency_callbacks.sinks": """
        CometSink DiskSink MLflowSink MemorySink TensorBoardSink WandbSink read_index read_maps read_probe
        sink_for_logger""",
    "saliency_callbacks.types": """
        AttentionEvidence Attribution Baseline Evidence Method Noise Pass Path PathRule Picture ProbeView Quantity
        RawMap Reduction ReluRule Sink Snapshot TensorBaseline""",
}


@pytest.mark.parametrize("module", NAMES)
def test_every_name_is_there(module):
    found = import_module(module)
    assert set(NAMES[module].split()) <= set(found.__all__)
    for name in NAMES[module].split():
        assert getattr(found, name) is not None, name


@pytest.mark.parametrize(("module", "group"), [("methods", "methods"), ("sinks.registry", "sinks")])
def test_entry_points_are_found_in_the_same_groups(module, group):
    found = vars(import_module(f"saliency_callbacks.{module}"))
    assert found["ENTRY_POINT_GROUP"] == f"saliency_callbacks.{group}"
