"""Error that both samplers raise when rejection sampling accepts too few candidates."""


class AcceptanceRateTooLow(Exception):
    """Rejection sampling accepted fewer items than requested.

    `acceptance_rate` is the share of all candidates that met the condition.
    """

    def __init__(self, accepted: int, requested: int, acceptance_rate: float) -> None:
        super().__init__(
            f"Only {accepted} of {requested} items were accepted; "
            f"the acceptance rate is {acceptance_rate:.2%}."
        )
        self.accepted, self.requested, self.acceptance_rate = accepted, requested, acceptance_rate
