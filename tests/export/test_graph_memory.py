"""What small graphs take, against counts made by hand: a float32 [1, 4, 8, 8] is 1024 bytes."""

import pytest

from impasto.export.graph_memory import GraphMemory, graph_memory
from impasto.export.objective import build_objective
from tests.export.graphs import parsed
from tests.small_network import features_model

KIB = 1024
IMAGE = "float[1,4,8,8] x"
OUT = "float[1,4,8,8] y"


def memory(nodes: str, *, outputs: str = OUT, weights: str = "") -> GraphMemory:
    constants = f"<{weights}>" if weights else ""
    return graph_memory(parsed(f"g ({IMAGE}) => ({outputs}) {constants} {{ {nodes} }}"))


def test_inputs_and_outputs_are_bound_and_take_no_activations() -> None:
    assert memory("y = Relu (x)") == GraphMemory(activations=0, weights=0, bound=2 * KIB)


def test_a_chain_of_nodes_in_place_is_one_value() -> None:
    assert memory("a = AveragePool <kernel_shape=[1,1]> (x) b = Relu (a) c = Neg (b) y = Exp (c)").activations == KIB


def test_nodes_that_cannot_work_in_place_need_two_values_at_a_time() -> None:
    assert memory("a = Exp (x) b = Exp (a) c = Exp (b) y = Exp (c)").activations == 2 * KIB


def test_a_value_that_is_read_later_stays() -> None:
    """a waits for the end; b and c pass, one in place of the other."""
    assert memory("a = Exp (x) b = Exp (a) c = Relu (b) y = Add (c, a)").activations == 2 * KIB
    assert memory("a = Exp (x) b = Exp (a) c = Exp (b) y = Add (c, a)").activations == 3 * KIB


def test_an_operand_that_is_read_again_is_not_written_over() -> None:
    assert memory("a = Exp (x) b = Relu (a) y = Add (a, b)").activations == 2 * KIB


def test_a_graph_with_its_gradient_holds_what_the_way_back_reads() -> None:
    """Three values for the way back; at the turn there is the cotangent besides."""
    forth = "a = Exp (x) b = Exp (a) c = Exp (b)"
    back = "dc = Exp (c) db = Mul (dc, c) da = Mul (db, b) y = Mul (da, a)"
    assert memory(f"{forth} {back}").activations == 4 * KIB


def test_views_take_nothing_and_keep_their_memory_alive() -> None:
    nodes = "a = Exp (x) v = Flatten (a) b = Exp (x) w = Flatten (b) y = Add (v, w)"
    assert memory(nodes, outputs="float[1,256] y").activations == 2 * KIB


def test_a_view_of_an_input_is_not_memory_to_write_over() -> None:
    assert memory("v = Flatten (x) a = Relu (v) y = Exp (a)", outputs="float[1,256] y").activations == KIB


def test_a_smaller_operand_is_not_written_over() -> None:
    nodes = "a = ReduceMean <keepdims=1> (x) b = Exp (a) c = Add (x, b) y = Exp (c)"
    assert memory(nodes).activations == KIB + 4


def test_weights_are_what_nodes_read_of_constants_and_of_what_depends_on_them_alone() -> None:
    """The kernel is only read by the node that turns it, which runs before the first evaluation."""
    found = memory(
        "t = Transpose <perm=[1,0,2,3]> (k) y = Conv <pads=[1,1,1,1]> (x, t)",
        weights="float[4,4,3,3] k = {" + ",".join(["1"] * 144) + "}",
    )
    assert found == GraphMemory(activations=0, weights=144 * 4, bound=2 * KIB)


def test_types_count_by_their_width() -> None:
    nodes = "h = Cast <to=10> (x) e = Exp (h) f = Exp (e) g = Exp (f) y = Cast <to=1> (g)"
    assert memory(nodes).activations == KIB


def test_an_unread_output_lives_only_for_its_node() -> None:
    assert memory("a, i = MaxPool <kernel_shape=[1,1]> (x) y = Exp (a)").activations == KIB + 2 * KIB
    assert memory("a, i = MaxPool <kernel_shape=[1,1]> (x) b = Exp (a) c = Exp (b) y = Exp (c)").activations == 3 * KIB


def test_unknown_sizes_are_refused() -> None:
    model = parsed("g (float[1,4,h,8] x) => (float[1,4,h,8] y) { y = Relu (x) }")
    with pytest.raises(ValueError, match=r"the size of \w is not known"):
        graph_memory(model)


def test_twice_the_area_is_twice_the_activations_of_a_network() -> None:
    def activations(height: int, batch: int = 1) -> int:
        built = build_objective(
            features_model(), content_taps=["relu2_1"], style_taps=["relu1_1"], height=height, width=32, batch=batch
        )
        return graph_memory(built.model).activations

    once = activations(32)
    assert activations(64) == pytest.approx(2 * once, rel=0.05)
    assert activations(32, batch=2) == pytest.approx(2 * once, rel=0.05)
