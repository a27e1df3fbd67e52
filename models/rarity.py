"""What is asked for is so rare among what a model makes that it is not found."""


class TooRare(Exception):
    """`made` of `asked` items were found; `acceptance` is the share of candidates that were met."""

    def __init__(self, made: int, asked: int, acceptance: float) -> None:
        super().__init__(f"{made} of {asked} items found; {acceptance:.2%} of candidates are met")
        self.made, self.asked, self.acceptance = made, asked, acceptance
