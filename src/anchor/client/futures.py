"""What a blocking client hands out for work under way: futures of tasks, runs and jobs."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from anchor.client import calls, dags, exchange, outcomes
from anchor.client.exchange import Manners, Steps
from anchor.client.outcomes import TaskFailed
from anchor.core.dag import RUN_OVER
from anchor.core.errors import Conflict
from anchor.core.task import TERMINAL
from anchor.wire.rest import TaskResult

T = TypeVar("T")


class Carrier(Protocol):
    """What futures need of a client."""

    def carry_out(self, steps: Callable[[Manners], Steps[T]]) -> T:
        """Do something of `anchor.client.exchange` and its like."""

    def call(self, call: calls.Call[T]) -> T:
        """Carry out a request."""


class Future(Generic[T]):
    """A task that was submitted. It is durable: whoever knows its `id` finds it again, from any process."""

    def __init__(self, client: Carrier, id: str) -> None:
        self._client = client
        self._ended: TaskResult | None = None
        self.id = id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {'under way' if self._ended is None else self._ended.state}>"

    def done(self) -> bool:
        """Whether it is over; asks the server until it is."""
        if self._ended is None:
            self.told(self._client.carry_out(lambda manners: exchange.until_over(self.id, 0, manners)))
        return self._ended is not None

    def result(self, timeout: float | None = None) -> T:
        """The value, once there is one; TaskFailed where it ended otherwise, TimeoutError after `timeout` seconds."""
        ended = self._over(timeout)
        value: T = self._client.carry_out(lambda manners: outcomes.value_of(ended, manners))
        return value

    def exception(self, timeout: float | None = None) -> TaskFailed | None:
        """Why it failed, None where it succeeded; TimeoutError after `timeout` seconds."""
        return outcomes.failure_of(self._over(timeout))

    def cancel(self) -> None:
        """Ask for its end; that may take a moment, and may come too late: what is over stays as it is."""
        try:
            self._client.call(calls.cancel(self.id))
        except Conflict as error:
            if error.code != "already_finished":
                raise

    def told(self, result: TaskResult) -> None:
        """Take note of how it ended, if it has."""
        if result.state in TERMINAL:
            self._ended = result

    def _over(self, timeout: float | None) -> TaskResult:
        if self._ended is None:
            self.told(self._client.carry_out(lambda manners: exchange.until_over(self.id, timeout, manners)))
        if self._ended is None:
            raise TimeoutError(f"{self.id} is not over yet; `anchor why {self.id}` says what it waits for")
        return self._ended


class RunFuture:
    """A run of a graph."""

    def __init__(self, client: Carrier, id: str) -> None:
        self._client = client
        self.id = id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def done(self) -> bool:
        """Whether it is over."""
        return self._client.call(dags.run(self.id, steps=1)).state in RUN_OVER

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """The values of the steps that no other step waits for, by step id; TaskFailed where the run failed or was
        cancelled, TimeoutError after `timeout` seconds."""
        run = self._client.carry_out(lambda manners: outcomes.run_over(self.id, timeout, manners))
        return self._client.carry_out(lambda manners: outcomes.last_values(run, manners))

    def step(self, step_id: str, timeout: float | None = None) -> Any:
        """The value of one step once the run is over; TaskFailed where the step has none."""
        self._client.carry_out(lambda manners: outcomes.run_over(self.id, timeout, manners))
        return self._client.carry_out(lambda manners: outcomes.step_value(self.id, step_id, manners))

    def cancel(self) -> None:
        """Ask for its end; that may take a moment, and may come too late: what is over stays as it is."""
        try:
            self._client.call(dags.cancel(self.id))
        except Conflict as error:
            if error.code != "already_finished":
                raise


class JobFuture:
    """A map-reduce job."""

    def __init__(self, client: Carrier, id: str) -> None:
        self._run = RunFuture(client, id)
        self._client = client
        self.id = id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def done(self) -> bool:
        """Whether it is over."""
        return self._run.done()

    def result(self, timeout: float | None = None) -> Any:
        """What the reduce made, in order; TaskFailed where the job failed or was cancelled, TimeoutError after
        `timeout` seconds."""
        return self._client.carry_out(lambda manners: outcomes.job_value(self.id, timeout, manners))

    def cancel(self) -> None:
        """Ask for its end; that may take a moment, and may come too late: what is over stays as it is."""
        self._run.cancel()
