"""What adapters of web APIs share: requests as data, answers that are not trusted, one bounded client."""
