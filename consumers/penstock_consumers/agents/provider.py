"""Which model the assistant talks to: an OpenAI-compatible provider, or the offline one."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_ai.models import Model
from pydantic_settings import SettingsConfigDict

from penstock.settings import Settings
from penstock_consumers.agents.offline_model import offline_model


class AssistantSettings(Settings):
    """The assistant's provider, from `PENSTOCK_ASSISTANT_*`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_ASSISTANT_")

    base_url: str | None = None
    """Base URL of an OpenAI-compatible API; with neither this nor a key, the offline model answers."""
    api_key: SecretStr | None = None
    model: str = "gpt-4-turbo"
    """Used where a request names no model. Offline, the model whose price the tokens are shown at."""
    timeout_s: float = 120.0
    """For one provider call."""

    @property
    def offline(self) -> bool:
        return self.base_url is None and self.api_key is None


def model_for(name: str, settings: AssistantSettings) -> Model:
    """The model that answers under `name`. The provider's client never retries by itself: each try is a call
    that must be reported."""
    if settings.offline:
        return offline_model(name)
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = AsyncOpenAI(
        base_url=settings.base_url,
        # A local server wants no key, the client insists on one, and must not find another in the environment.
        api_key=settings.api_key.get_secret_value() if settings.api_key else "none",
        max_retries=0,
        timeout=settings.timeout_s,
    )
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))
