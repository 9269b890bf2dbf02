"""What the engine must answer, in plain Python: dictionaries, no SQL, no locks, no clock.

Written from DESIGN 4 and the failure rows, not from the SQL, so that the two can disagree.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

ALWAYS = None  # the start of what never resets


@dataclass
class Terms:
    """One meter's limit. `amount` None is unlimited; `cap` None lets a soft limit go on."""

    flow: bool
    amount: int | None
    hard: bool = True
    cap: int | None = None
    per_member: bool = False
    enforcement: str = "enforce"
    refusal: str = ""


@dataclass
class Sum:
    used: int = 0
    credited: int = 0
    overage: int = 0
    observed_at: datetime | None = None


@dataclass
class Hold:
    place: tuple
    amount: int
    expires_at: datetime
    state: str = "open"
    committed: int | None = None


@dataclass
class Pack:
    name: int
    amount: int
    left: int
    priority: int
    expires_at: datetime | None


@dataclass
class Answer:
    allowed: bool
    reason: str | None
    used: int
    held: int
    remaining: int | None
    overage: int


@dataclass
class Use:
    """What a key did, so that it can be answered again and released."""

    body: tuple
    answers: list[Answer]
    parts: list[tuple] = field(default_factory=list)  # place, amount, credited, billable
    released: list[Answer] | None = None


class Reference:
    """One organization."""

    def __init__(self, now: datetime, month_of) -> None:
        self.now = now
        self.month_of = month_of  # instant → start of the usage period
        self.access = "full"
        self.terms: dict[str, Terms] = {}
        self.sums: dict[tuple, Sum] = {}
        self.holds: dict[object, Hold] = {}
        self.packs: dict[str, list[Pack]] = {}
        self.uses: dict[tuple, Use] = {}

    # --- Questions ----------------------------------------------------------------------------

    def place(self, meter, member, at=None):
        terms = self.terms[meter]
        start = self.month_of(at or self.now) if terms.flow else ALWAYS
        return (meter, member if terms.per_member else "", start)

    def sum(self, place):
        return self.sums.setdefault(place, Sum())

    def held(self, place):
        return sum(
            hold.amount
            for hold in self.holds.values()
            if hold.place == place and hold.state == "open" and hold.expires_at > self.now
        )

    def credits(self, meter):
        return sum(pack.left for pack in self._valid(meter)) if self.terms[meter].flow else 0

    def refusal(self, meter, member, amount):
        terms = self.terms[meter]
        if terms.enforcement == "disabled":
            return None
        locked = {"read_only": "account_locked", "restricted": "payment_required"}
        why = locked.get(self.access) or terms.refusal or None
        return why if why or terms.amount is None else self._overfull(meter, member, amount)

    def _overfull(self, meter, member, amount):
        terms = self.terms[meter]
        place = self.place(meter, member)
        found = self.sum(place)
        taken = found.used + self.held(place) - found.credited
        beyond = taken + amount - terms.amount - self.credits(meter)
        if beyond <= 0:
            return None
        if terms.hard:
            return "quota_exceeded"
        billed = min(beyond, amount + found.overage + self.held(place))
        return "quota_exceeded" if terms.cap is not None and billed > terms.cap else None

    def answer(self, place, *, allowed=True, reason=None):
        terms, found = self.terms[place[0]], self.sum(place)
        held = self.held(place)
        remaining = None
        overage = found.overage
        if terms.amount is not None:
            left = max(terms.amount + found.credited - found.used - held, 0)
            remaining = left + self.credits(place[0])
        if not terms.flow:
            overage = 0 if terms.amount is None else max(found.used - terms.amount, 0)
        return Answer(allowed, reason, found.used, held, remaining, overage)

    # --- Verbs --------------------------------------------------------------------------------

    def use(self, key, verb, lines, at=None):
        """consume or record. None means that the key was used for another body."""
        body = (verb, tuple(lines), at)
        if key in self.uses:
            known = self.uses[key]
            return known.answers if known.body == body else None
        use = Use(body, [])
        failed = None
        for position, (meter, member, amount) in enumerate(lines):
            reason = None if verb == "record" else self.refusal(meter, member, amount)
            enforced = self.terms[meter].enforcement == "enforce"
            if reason is not None and enforced:
                failed = position
                break
            place = self.place(meter, member, at)
            part = (place, amount, *self._add(place, amount))
            use.parts.append(part)
            use.answers.append(self.answer(place, reason=reason))
        if failed is not None:
            self._refuse_all(use, lines, failed)
        self.uses[key] = use
        return use.answers

    def _refuse_all(self, use, lines, failed):
        meter, member, amount = lines[failed]
        why = self.refusal(meter, member, amount)
        for part in reversed(use.parts):
            self._undo(part)
        use.parts = []
        use.answers = []
        for position, (name, who, _amount) in enumerate(lines):
            reason = why if position == failed else "group_refused"
            answer = self.answer(self.place(name, who), allowed=False, reason=reason)
            use.answers.append(answer)

    def release(self, key):
        """Answers, or the reason why not."""
        use = self.uses.get(key)
        if use is None:
            return "gone"
        if use.released is not None:
            return use.released
        if not use.parts:
            return "not_consumed"
        totals = {}
        for place, amount, _credited, _billable in use.parts:
            totals[place] = totals.get(place, 0) + amount
        if any(self.sum(place).used < total for place, total in totals.items()):
            return "exceeds"
        use.released = []
        for part in use.parts:
            self._take_back(*part)
            use.released.append(self.answer(part[0]))
        return use.released

    def release_amount(self, meter, member, amount):
        place = self.place(meter, member)
        if self.sum(place).used < amount:
            return self.answer(place, allowed=False, reason="release_exceeds_usage")
        self.sum(place).used -= amount
        return self.answer(place)

    def set_level(self, meter, value, observed_at):
        """None means that a later observation is known."""
        place = self.place(meter, "")
        found = self.sum(place)
        if found.observed_at is not None and observed_at <= found.observed_at:
            return None
        found.used, found.observed_at = value, observed_at
        return self.answer(place)

    def reserve(self, meter, member, amount, seconds):
        """The place of the new hold, None where it is refused, and the answer."""
        reason = self.refusal(meter, member, amount)
        place = self.place(meter, member)
        if reason is not None and self.terms[meter].enforcement == "enforce":
            return None, self.answer(place, allowed=False, reason=reason)
        hold = Hold(place, amount, self.now + timedelta(seconds=seconds))
        self.holds[id(hold)] = hold
        return hold, self.answer(place, reason=reason)

    def commit(self, hold, amount):
        if hold.state == "committed":
            return "again" if hold.committed == amount else "conflict"
        if hold.state == "voided" or hold.expires_at <= self.now:
            return "ended"
        if amount > hold.amount:
            return "too_much"
        hold.state, hold.committed = "committed", amount
        self._add(hold.place, amount)
        return self.answer(hold.place)

    def void(self, hold):
        if hold.state == "voided":
            return "again"
        if hold.state == "committed" or hold.expires_at <= self.now:
            return "ended"
        hold.state = "voided"
        return self.answer(hold.place)

    def buy(self, meter, pack):
        self.packs.setdefault(meter, []).append(pack)

    # --- Sums ---------------------------------------------------------------------------------

    def _add(self, place, amount):
        """Returns how many units were paid with credits, and how many are billable."""
        terms, found = self.terms[place[0]], self.sum(place)
        found.used += amount
        if not terms.flow or terms.amount is None:
            return 0, 0
        shortage = max(found.used - terms.amount - found.credited, 0)
        credited = self._burn(place[0], min(shortage, amount))
        found.credited += credited
        uncovered = max(shortage - credited - found.overage, 0)
        billable = min(amount - credited, uncovered)
        found.overage += billable
        return credited, billable

    def _undo(self, part):
        place, amount, credited, billable = part
        found = self.sum(place)
        found.used -= amount
        found.credited -= credited
        found.overage -= billable
        self._give_back(place[0], credited)

    def _take_back(self, place, amount, credited, billable):
        terms, found = self.terms[place[0]], self.sum(place)
        found.used -= amount
        before = found.credited
        found.credited -= credited
        found.overage -= billable
        if terms.amount is not None:
            over = max(found.used - terms.amount, 0)
            found.credited = max(min(found.credited, over), 0)
            found.overage = min(found.overage, max(over - found.credited, 0))
        found.overage = max(found.overage, 0)
        self._give_back(place[0], before - found.credited)

    def _valid(self, meter):
        packs = [
            pack
            for pack in self.packs.get(meter, [])
            if pack.expires_at is None or pack.expires_at > self.now
        ]
        return sorted(packs, key=_burning_order)

    def _burn(self, meter, need):
        burned = 0
        for pack in self._valid(meter):
            take = min(pack.left, need - burned)
            pack.left -= take
            burned += take
        return burned

    def _give_back(self, meter, units):
        for pack in reversed(self._valid(meter)):
            back = min(pack.amount - pack.left, units)
            pack.left += back
            units -= back


def _burning_order(pack):
    expiry = pack.expires_at.timestamp() if pack.expires_at else float("inf")
    return (pack.priority, expiry, pack.name)
