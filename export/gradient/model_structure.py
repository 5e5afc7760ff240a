"""The structure of a model, checked and put in order: every value is defined, nodes come after what they read.

ONNX Runtime accepts nodes in any order, and its float16 converter writes such files. The rest of this package reads a
graph front to back.
"""

from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from impasto.export.gradient.path import graphs_of
from impasto.export.vjp_rules import GradientError, describe


def put_in_order(model: ir.Model) -> None:
    """Sort the nodes of a model and its subgraphs, in place; what it computes stays the same.

    Raises:
        GradientError: the model is of a later version of ONNX than is known here, a value has no definition, or
            nodes depend on each other in a circle.
    """
    _check_text(model)
    _check_versions(model)
    _check_defined(model.graph, set())
    try:
        common.TopologicalSortPass()(model)
    except Exception as error:  # the pass manager wraps the sort's ValueError
        raise GradientError(f"the model is not valid: {_circle(model.graph)}") from error
    _check_attributes(model)


def _check_text(model: ir.Model) -> None:
    """Refuse names and texts that are not UTF-8, which onnx gives as bytes, and weights without a type."""
    for node in model.graph.all_nodes():
        texts: list[object] = [node.op_type, node.domain, node.name]
        texts += [value.name for value in (*node.inputs, *node.outputs) if value is not None]
        texts += [each.value for each in node.attributes.values() if each.type is ir.AttributeType.STRING]
        for text in texts:
            if isinstance(text, bytes):
                raise GradientError(f"the model is not valid: {text!r} is not UTF-8")
    for part in (model.graph, *model.graph.subgraphs()):
        for value in part.initializers.values():
            if value.const_value is None or value.const_value.dtype is ir.DataType.UNDEFINED:
                raise GradientError(f"the model is not valid: weight {value.name!r} has no content of a known type")


def _check_versions(model: ir.Model) -> None:
    opset, newest = model.opset_imports.get(""), onnx.defs.onnx_opset_version()
    if opset is None:
        raise GradientError("the model does not say which opset of the default domain it uses; export it again")
    if opset < 1:
        raise GradientError(f"the model has opset {opset}; the first is 1: export it again")
    if opset > newest:
        raise GradientError(
            f"the model has opset {opset}, and the newest that onnx {onnx.__version__} knows is {newest}; "
            "export it again with an older opset"
        )
    if model.ir_version > onnx.IR_VERSION:
        raise GradientError(
            f"the model has IR version {model.ir_version}, and the newest that onnx {onnx.__version__} knows is "
            f"{onnx.IR_VERSION}; export it again with an older one"
        )


def _check_defined(graph: ir.Graph, outer: Collection[ir.Value]) -> None:
    """Refuse a graph that reads or returns a value that neither it nor a graph around it defines."""
    known = {*outer, *graph.inputs, *graph.initializers.values()}
    known.update(value for node in graph for value in node.outputs)
    for node in graph:
        for value in node.inputs:
            if value is not None and value not in known:
                raise GradientError(
                    f"the model is not valid: {describe(node)} reads {value.name!r}, which no input, weight or node "
                    "defines"
                )
        for attribute in node.attributes.values():
            for inner in graphs_of(attribute):
                _check_defined(inner, known)
    for value in graph.outputs:
        if value not in known:
            raise GradientError(f"the model is not valid: no node computes its output {value.name!r}")


def _circle(graph: ir.Graph) -> str:
    """Describe nodes that depend on each other in a circle."""
    for part in (graph, *graph.subgraphs()):
        producers = {node: [value.producer() for value in node.inputs if value is not None] for node in part}
        try:
            TopologicalSorter(producers).prepare()
        except CycleError as error:
            nodes = error.args[1][1:]
            return "its nodes depend on each other in a circle: " + ", ".join(map(describe, nodes[:3]))
    return "its nodes depend on each other in a circle"


def _check_attributes(model: ir.Model) -> None:
    """Refuse an attribute that is missing or of another type than the standard's, which a rule could not read."""
    for node in model.graph.all_nodes():
        if node.domain or any(attribute.is_ref() for attribute in node.attributes.values()):
            continue
        try:
            schema = onnx.defs.get_schema(node.op_type, model.opset_imports[""], "")
        except onnx.defs.SchemaError:
            continue
        for name, declared in schema.attributes.items():
            found = node.attributes.get(name)
            if found is None and declared.required:
                raise GradientError(f"the model is not valid: {describe(node)} lacks the attribute {name!r}")
            kind = str(declared.type).rpartition(".")[2]
            if found is not None and found.type.name != kind:
                raise GradientError(
                    f"the model is not valid: attribute {name!r} of {describe(node)} is {found.type.name}, and the "
                    f"standard's is {kind}"
                )
