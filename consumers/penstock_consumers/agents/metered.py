"""The one place where a model is called: each call is a step, is capped, and is reported as usage."""

from __future__ import annotations

from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings, merge_model_settings

from penstock.agents import AgentContext, PermanentAgentError, ProviderCall, RetryableAgentError
from penstock_consumers.agents.transcripts import counted

RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
"""Besides 5xx: what a provider answers when the same call may work later."""


class OutputBudgetSpent(PermanentAgentError):
    """The request's `max_tokens` are used up before the agent was done."""


class MeteredModel(WrapperModel):
    """Calls `wrapped` for one attempt.

    Args:
        wrapped: the model that answers.
        context: the attempt that pays.
        priced_as: the model name in usage reports.
    """

    def __init__(self, wrapped: Model, context: AgentContext, priced_as: str) -> None:
        super().__init__(wrapped)
        self._context = context
        self._priced_as = priced_as
        self._output_tokens_left = context.max_tokens

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """One provider call.

        Raises:
            OutputBudgetSpent: no output token is left; nothing was called.
            ReservationUsedUp: nothing is left of what was reserved; nothing was called.
            RetryableAgentError: the provider could not be reached, is overloaded or failed.
            PermanentAgentError: the provider refused the call.
        """
        left = self._output_tokens_left
        if left is not None and left <= 0:
            raise OutputBudgetSpent(f"all {self._context.max_tokens} output tokens (max_tokens) are used up")
        async with (
            self._context.step(f"ask {self._priced_as}", "model"),
            self._context.call(self._priced_as) as call,
        ):
            bounds = [bound for bound in (left, self._context.tokens_left) if bound is not None]
            if bounds:
                model_settings = merge_model_settings(model_settings, ModelSettings(max_tokens=min(bounds)))
            response = await self._call(call, messages, model_settings, model_request_parameters)
            self._note(call, messages, response)
        return response

    async def _call(
        self,
        call: ProviderCall,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        try:
            return await self.wrapped.request(messages, settings, parameters)
        except ModelHTTPError as exc:
            call.used(0, 0)  # providers do not bill a call that they answer with an error
            retryable = exc.status_code >= 500 or exc.status_code in RETRYABLE_STATUS
            error = RetryableAgentError if retryable else PermanentAgentError
            raise error(
                f"the provider answered {exc.status_code} for model {self._priced_as}: {exc.body}"
            ) from exc
        except ModelAPIError as exc:
            raise RetryableAgentError(f"the provider did not answer for model {self._priced_as}: {exc}") from exc

    def _note(self, call: ProviderCall, messages: list[ModelMessage], response: ModelResponse) -> None:
        usage = response.usage
        tokens_in, tokens_out = usage.input_tokens, usage.output_tokens
        if not usage.has_values():  # some compatible servers send no usage; unreported would be unpaid
            last = messages[-1]
            tokens_in, tokens_out = counted(messages, getattr(last, "instructions", None), response)
        call.used(
            # pydantic-ai counts cached tokens inside the input; Penstock's buckets are disjoint.
            input_tokens=max(0, tokens_in - usage.cache_read_tokens - usage.cache_write_tokens),
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=tokens_out,
            reasoning_tokens=min(usage.output_reasoning_tokens, tokens_out),
        )
        if self._output_tokens_left is not None:
            self._output_tokens_left -= tokens_out
