from billing.models.plan import PlanLimit, PlanPrice, SubscriptionPlan

__all__ = ["PlanLimit", "PlanPrice", "SubscriptionPlan"]
