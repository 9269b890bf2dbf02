"""Who is who: users, organizations, memberships, invitations, tokens, the audit trail."""

import uuid
from datetime import datetime
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Lower, Now
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

# API calls name an organization by slug or by UUID, so no slug may look like a UUID.
SLUG_PATTERN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
UUID_PATTERN = r"^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person. The e-mail address is the login; every user owns one personal organization."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("e-mail"), max_length=254, unique=True)
    name = models.CharField(_("name"), max_length=150, blank=True)
    language = models.CharField(_("language"), max_length=10, default="en")
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    date_joined = models.DateTimeField(db_default=Now())
    # The organization that pages without a slug and API calls without `organization` mean.
    current_organization = models.ForeignKey(
        "orgs.Organization", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [
            # Lower case only, so that the unique column is blind to case.
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_lower"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Sessions end with a new password, and with a change of what staff may do (E19)."""
        of_password: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]
        if not (self.is_staff or self.is_superuser):
            return of_password
        rank = f"{of_password}{self.is_staff}{self.is_superuser}"
        return salted_hmac("orgs.User.rank", rank, secret=secret, algorithm="sha256").hexdigest()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """One transaction with its receivers: nobody is stored without a personal organization."""
        with transaction.atomic():
            super().save(*args, **kwargs)


class Session(AbstractBaseSession):
    """A browser that somebody uses. The key is a hash of what that browser holds."""

    person = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="sessions")
    browser = models.CharField(max_length=60, blank=True)
    began_at = models.DateTimeField()
    # To a quarter of an hour; a session that was not seen for long has ended.
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.person_id} {self.browser}"


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)

    def of_member(self, user: User) -> Self:
        return self.open().filter(memberships__user=user)


class Organization(models.Model):
    """The tenant and the payer. A personal one belongs to one user; a team one has members."""

    class Kind(models.TextChoices):
        PERSONAL = "personal", _("Personal")
        TEAM = "team", _("Team")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(max_length=10, choices=Kind)
    language = models.CharField(_("language"), max_length=10, default="en")
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    # Where invoices and billing mail go; empty means the owner's address.
    billing_email = models.EmailField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)
    members = models.ManyToManyField(User, through="Membership", related_name="organizations")

    objects: ClassVar = OrganizationQuerySet.as_manager()

    class Meta:
        constraints = [
            # A trigger of migration 0002 writes the slug history and refuses a slug of another's.
            models.CheckConstraint(
                condition=Q(slug__regex=SLUG_PATTERN) & ~Q(slug__regex=UUID_PATTERN),
                name="organization_slug_plain_and_never_a_uuid",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["personal", "team"]), name="organization_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def email(self) -> str:
        """Where Stripe writes to: the billing address, else the first owner's."""
        if self.billing_email:
            return self.billing_email
        owner = (
            self.memberships.filter(role=Role.OWNER)
            .order_by("joined_at", "pk")
            .values_list("user__email", flat=True)
            .first()
        )
        return owner or ""


class SlugHistory(models.Model):
    """Every slug ever used. Slugs are never reused, so that an old link cannot reach a stranger."""

    slug = models.SlugField(max_length=63, primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.SET_NULL, null=True, related_name="slug_history"
    )
    taken_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.slug


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    MEMBER = "member", _("Member")


class Membership(models.Model):
    """A user in an organization. Its id is the opaque member id that the ledger knows.

    A deferred trigger (migration 0002) keeps at least one owner in every open organization.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    joined_at = models.DateTimeField(db_default=Now())
    last_active_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"], name="membership_once_per_organization"
            ),
            models.CheckConstraint(
                condition=Q(role__in=["owner", "admin", "member"]), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.organization_id}"


class Invitation(models.Model):
    """A mailed, single-use offer to join. Only the token's hash is stored (E5)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="invitations"
    )
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role)
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organization",
                Lower("email"),
                condition=Q(accepted_at=None, revoked_at=None),
                name="invitation_one_open_per_address",
            ),
            models.CheckConstraint(
                condition=Q(accepted_at=None) | Q(revoked_at=None), name="invitation_ends_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.organization_id}"


class PersonalToken(models.Model):
    """A person's API token. Shown once; only its hash and a short prefix are kept (E10)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=16)
    token_hash = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.prefix}…"


class Impersonation(models.Model):
    """A staff member looks at pages as somebody else: read-only, with a reason, until `ends_at`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    staff = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    reason = models.CharField(max_length=254)
    started_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager["Impersonation"]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.staff_id} as {self.person_id} until {self.ends_at}"


class AuditEntry(models.Model):
    """One act. Append-only: a trigger (migration 0002) refuses update and delete (E11)."""

    class ActorKind(models.TextChoices):
        PERSON = "person", _("Person")
        SYSTEM = "system", _("System")
        STRIPE = "stripe", _("Stripe event")
        SERVICE = "service", _("Service token")

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False
    )
    at = models.DateTimeField(db_default=Now())
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=254, blank=True)
    # The staff member behind an impersonated session; empty when people act as themselves.
    acting_as = models.CharField(max_length=254, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=80)
    target = models.CharField(max_length=254, blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index("organization", F("at").desc(), name="audit_by_organization"),
            # What a person did, for the day on which their account is deleted.
            models.Index(
                fields=["actor_id"], condition=Q(actor_kind="person"), name="audit_by_person"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} at {self.at}"


class DataExportQuerySet(models.QuerySet["DataExport"]):
    def unfinished(self) -> Self:
        return self.filter(state__in=[DataExport.State.WAITING, DataExport.State.BUILDING])

    def due(self, now: datetime) -> Self:
        """Waiting, or left by a worker that died."""
        return self.unfinished().filter(Q(leased_until=None) | Q(leased_until__lte=now))

    def downloadable(self, now: datetime) -> Self:
        return self.filter(state=DataExport.State.READY, expires_at__gt=now)


class DataExport(models.Model):
    """An archive of everything that an organization owns: asked for, built by a worker, fetched."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        BUILDING = "building", _("Being prepared")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="exports")
    asked_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    asked_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    # Who builds it has it until then, and says so again as it goes on.
    leased_until = models.DateTimeField(null=True, blank=True)
    rows_done = models.BigIntegerField(default=0)
    rows_expected = models.BigIntegerField(default=0)
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = DataExportQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(state__in=["waiting", "building"]),
                name="data_export_one_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} asked at {self.asked_at} ({self.state})"


class ExportChunk(models.Model):
    """A piece of an archive. In the database, because web and worker share no disk."""

    export = models.ForeignKey(DataExport, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    objects: ClassVar[models.Manager["ExportChunk"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["export", "number"], name="export_chunk_in_order")
        ]

    def __str__(self) -> str:
        return f"{self.export_id} {self.number}"


class DeletionQuerySet(models.QuerySet["Deletion"]):
    def due(self, now: datetime) -> Self:
        return self.filter(finished_at=None, next_attempt_at__lte=now)


class Deletion(models.Model):
    """An organization's way out: asked for, undone until `due_at`, then carried out step by step.

    Kept for good: it says when the data was erased, and nothing of the data.
    """

    organization = models.OneToOneField(
        Organization, on_delete=models.PROTECT, primary_key=True, related_name="deletion"
    )
    asked_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    asked_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField()
    # Steps that need not be done again, whatever stopped the others half-way.
    done = models.JSONField(default=list)
    # Turns member ids into others that nobody can turn back; forgotten at the end.
    salt = models.CharField(max_length=64, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.CharField(max_length=300, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar = DeletionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(finished_at=None), name="deletion_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} due {self.due_at}"
