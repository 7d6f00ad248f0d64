"""Walks visit each object once, level by level."""

from types import SimpleNamespace

from saliency_callbacks.probe.traversal import inner_datasets, levels


def test_each_object_is_visited_once():
    leaf = SimpleNamespace(name="leaf")
    root = SimpleNamespace(name="root", datasets=(SimpleNamespace(name="left", dataset=leaf), leaf))
    leaf.dataset = root
    names = [[each.name for each in level] for level in levels(root, inner_datasets)]
    assert names == [["root"], ["left", "leaf"]]


def test_stacked_datasets_are_found_by_name():
    assert inner_datasets(SimpleNamespace(datasets={"image": "a", "depth": "b"})) == ["a", "b"]
