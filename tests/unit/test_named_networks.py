"""Are the networks that come with neurochip those that their papers describe, and found by name?"""

from __future__ import annotations

from pathlib import Path

import pytest

from neurochip.config import load_experiment
from neurochip.errors import UserError
from neurochip.network.named import NETWORKS, list_networks, named_network, network_table
from neurochip.network.shape import LayerShape, layer_shapes

BY_NAME = {network.name: network for network in list_networks()}


def shapes_of(name: str) -> tuple[LayerShape, ...]:
    network = named_network(name, ())
    assert network.n_inputs is not None
    assert network.n_classes is not None
    return layer_shapes(network.experiment, network.n_inputs, network.n_classes)


def test_every_file_is_listed_with_a_summary() -> None:
    assert list(BY_NAME) == sorted(path.stem for path in NETWORKS.glob("*.toml"))
    assert {"vgg-sws", "alexnet-wu", "alexnet-cifar", "alexnet-orig", "conv-dvs", "recurrent-shd"} <= set(BY_NAME)
    assert all(network.summary for network in BY_NAME.values())


def test_the_vgg_of_the_ottt_paper_has_its_published_size() -> None:
    vgg = BY_NAME["vgg-sws"]
    assert (vgg.n_neurons, vgg.inputs, vgg.n_classes) == (409_600, "3x32x32", 10)
    gains = 64 + 128 + 2 * 256 + 4 * 512  # of the weight standardisation, which are constants here
    assert round((vgg.n_parameters + gains) / 1e6, 2) == round(vgg.n_parameters / 1e6, 2) == 9.23
    dense_macs = sum(shape.n_weight_rows * shape.columns * shape.n_blocks // (shape.conv.groups if shape.conv else 1)
                     for shape in shapes_of("vgg-sws"))  # fmt: skip
    assert round(dense_macs / 1e6) == 606
    assert [shape.frac_event for shape in shapes_of("vgg-sws")] == [0, 0, 2, 0, 2, 0, 2, 0, 4]


def test_the_vgg_of_the_ottt_paper_is_standardised_and_its_spikes_count_2_74() -> None:
    *convolutions, readout = shapes_of("vgg-sws")
    assert [shape.scale for shape in convolutions] == [1.0] + 7 * [2.74]
    gains = [3.33, 2.74, 2 * 2.74, 2.74, 2 * 2.74, 2.74, 2 * 2.74, 2.74]  # that of the layer times what a spike counts
    assert [shape.gain for shape in convolutions] == pytest.approx(gains)
    assert (readout.scale, readout.gain) == (2.74, 0.0)


def test_the_convolutional_workload_has_its_dense_operations() -> None:
    macs = sum(shape.n_weight_rows * shape.n_out for shape in shapes_of("conv-dvs"))
    assert round(10 * macs / 1e6) == 53  # 10 steps
    assert BY_NAME["conv-dvs"].n_parameters == 2 * 9 * 32 + 32 * 9 * 64 + 64 * 8 * 8 * 10


def test_the_recurrent_workload_has_its_recurrent_weights() -> None:
    assert BY_NAME["recurrent-shd"].n_parameters == (700 + 256) * 256 + 256 * 20
    assert shapes_of("recurrent-shd")[0].inputs[-1].delay == 1


@pytest.mark.parametrize(
    ("name", "maps", "dense"),
    [
        ("alexnet-wu", [(96, 42), (256, 42), (384, 21), (384, 10), (256, 10)], [1024, 1024]),
        ("alexnet-cifar", [(64, 21), (192, 10), (384, 5), (256, 5), (256, 5)], [4096, 4096]),
        ("alexnet-orig", [(96, 31), (256, 15), (384, 7), (384, 7), (256, 7)], [4096, 4096]),
    ],
)
def test_the_alexnets_have_their_layers(name: str, maps: list[tuple[int, int]], dense: list[int]) -> None:
    hidden = shapes_of(name)[:-1]
    assert [shape.out_map for shape in hidden if shape.out_map] == [(c, size, size) for c, size in maps]
    assert [shape.n_out for shape in hidden if shape.kind == "dense"] == dense


def test_the_layers_of_a_network_stand_for_those_of_an_experiment() -> None:
    experiment = load_experiment(None, ["network.init_gain=0.25"], network=network_table("conv-dvs"))
    assert experiment.network.layers == named_network("conv-dvs", ()).experiment.network.layers
    assert (experiment.network.input_shape, experiment.network.init_gain) == (None, 0.25)


def test_a_network_file_with_a_map_needs_no_inputs(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    layers = 'layers = [{ kind = "conv2d", channels = 2, kernel = 2 }, { kind = "readout" }]\n'
    path.write_text("input_shape = [1, 4, 4]\nclasses = 2\n" + layers, encoding="utf-8")
    network = named_network(str(path), ())
    assert (network.n_inputs, network.experiment.network.input_shape) == (16, [1, 4, 4])
    assert network_table(str(path)).keys() == {"layers"}
    short = ("input_shape = [1, 4]", "needs .channels, height, width.")
    other = ("inputs = 5\ninput_shape = [1, 4, 4]", "inputs is 5; its input_shape has 16")
    for head, words in (short, other):
        path.write_text(f"{head}\nclasses = 2\n{layers}", encoding="utf-8")
        with pytest.raises(UserError, match=words):
            named_network(str(path), ())


@pytest.mark.parametrize("text", ["vgg", "512-10", "no.toml", "../networks/vgg-sws"])
def test_an_unknown_network_is_refused_with_the_names_there_are(text: str) -> None:
    with pytest.raises(UserError, match=r"--network .*allowed are network files, .* and alexnet-cifar, .*vgg-sws"):
        network_table(text)


def test_an_experiment_file_is_no_network(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text("[task]\nsteps = 3\n", encoding="utf-8")
    with pytest.raises(UserError, match="has no key layers"):
        network_table(str(path))
