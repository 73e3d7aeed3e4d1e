"""Files of a stage on their way to the next step, as the pipelines stage decides it."""

from penstock_schemas import records as r
from tests.streams.pipelines.flow import Flow, finish, resume, spec


def kept(digit: str) -> r.ArtifactsRef:
    return r.ArtifactsRef(sha256=digit * 64, size=2, uri=f"/store/{digit}")


def handed(flow: Flow, index: int, epoch: int = 1) -> list[tuple[str, r.ArtifactsRef]]:
    return [(each.folder, each.ref) for each in flow.request(index, epoch).handed_artifacts]


def test_a_stages_files_go_to_the_next_step_and_no_further():
    flow = Flow()
    flow.begin(spec("a", 0, artifacts=True, artifact_patterns=["out/*"]), spec("b", 1), spec("c", 2))
    assert flow.request(0).artifact_patterns == ["out/*"]
    flow.send(finish(0, artifacts_ref=kept("1")))
    assert (handed(flow, 1), flow.request(1).artifact_patterns) == ([("", kept("1"))], [])
    flow.send(finish(1, artifacts_ref=kept("2")))  # its agent kept files on its own; nobody asked to hand them on
    assert handed(flow, 2) == []


def test_all_files_are_meant_where_no_pattern_is_given():
    flow = Flow()
    flow.begin(spec("a", 0, artifacts=True))
    assert flow.request(0).artifact_patterns == ["*"]


def test_branches_files_lie_below_their_names_and_every_branch_after_them_gets_all():
    flow = Flow()
    flow.begin(
        spec("a", 0, artifacts=True),
        spec("b", 0, artifacts=True),
        spec("none kept", 0, artifacts=True),
        spec("not asked", 0),
        spec("d", 1),
        spec("e", 1),
    )
    flow.send(finish(1, artifacts_ref=kept("2")))
    flow.send(finish(0, artifacts_ref=kept("1")))
    flow.send(finish(2))
    flow.send(finish(3, artifacts_ref=kept("3")))
    assert handed(flow, 4) == handed(flow, 5) == [("a", kept("1")), ("b", kept("2"))]


def test_a_resumption_hands_on_what_was_kept_before():
    flow = Flow()
    flow.begin(spec("a", 0, artifacts=True), spec("b", 1))
    flow.send(finish(0, artifacts_ref=kept("1")))
    flow.send(finish(1, status="failed"))
    flow.send(resume())
    flow.send(r.PipelineReserved(tenant_id="acme", pipeline_id=finish(0).pipeline_id, epoch=2))
    assert handed(flow, 1, epoch=2) == [("", kept("1"))]
