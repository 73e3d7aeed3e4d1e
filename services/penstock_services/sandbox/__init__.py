"""The sandbox: commands of one tenant's run that can reach nothing but their workspace, held by the kernel."""

from penstock.agents.commands import Outcome, Reason, Receipt
from penstock_services.sandbox.policies import Policies, Policy, load_policies
from penstock_services.sandbox.runtime import Runtime
from penstock_services.sandbox.sandbox import Sandbox

__all__ = ["Outcome", "Policies", "Policy", "Reason", "Receipt", "Runtime", "Sandbox", "load_policies"]
