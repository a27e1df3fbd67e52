"""What is asked for is so rare among what a model makes that it is not found."""


class AcceptanceRateTooLow(Exception):
    """`made` of `asked` items were found; `acceptance` is the share of candidates that were met."""

    def __init__(self, accepted: int, requested: int, acceptance_rate: float) -> None:
        super().__init__(
            f"{accepted} of {requested} items accepted; acceptance rate {acceptance_rate:.2%}"
        )
        self.accepted, self.requested, self.acceptance_rate = accepted, requested, acceptance_rate
