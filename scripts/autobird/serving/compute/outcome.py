"""Turn what became of a task in a compute process into its answer or a problem, and log what its user is not told."""

import logging

from autobird.core.workers import Killed, TimedOut
from autobird.serving.compute.messages import Failed, Result
from autobird.serving.compute.requests import TaskAnswer, TaskProblem

log = logging.getLogger("autobird")


def answer_or_problem(result: Result, remedy: str = "") -> TaskAnswer | TaskProblem:
    """Return the answer or the problem for what became of a task.

    Args:
        result: of `ComputeProcess.run`.
        remedy: what else helps against a time limit, after "cut it into parts".
    """
    if isinstance(result, TaskAnswer | TaskProblem):
        return result
    if isinstance(result, Failed):
        log.error("a recording could not be classified because of an error in the program:\n%s", result.trace)
        return TaskProblem(500, "Internal error", "the request could not be processed; see the server's log")
    if isinstance(result, TimedOut):
        return TaskProblem(
            422,
            "Recording takes too long",
            f"the recording could not be classified in {result.seconds:g} s; cut it into parts{remedy}",
        )
    if isinstance(result, Killed):
        return TaskProblem(
            503,
            "Compute process killed",
            f"the process that classified the recording {result.how}, twice, perhaps because memory ran out; try later, or cut "
            "the recording into parts",
        )
    log.warning("a recording was not classified because its decoding or classification crashed (%s)", result.signal)
    return TaskProblem(
        422, "Damaged recording", "the recording is damaged in a way that stops the decoder; export or convert it again"
    )
