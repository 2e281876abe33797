"""Passwords: argon2id, upgraded hashes, and nothing that tells an unknown account from a wrong password."""

from argon2 import PasswordHasher

from app.accounts import passwords

PASSWORD = "correct horse battery"


def test_a_hash_fits_its_password_alone() -> None:
    password_hash = passwords.hashed(PASSWORD)
    assert password_hash.startswith("$argon2id$")
    assert passwords.is_password(PASSWORD, password_hash)
    assert not passwords.is_password("Correct horse battery", password_hash)


def test_the_same_password_has_another_hash_each_time() -> None:
    assert passwords.hashed(PASSWORD) != passwords.hashed(PASSWORD)


def test_an_unknown_account_and_a_broken_hash_fit_no_password() -> None:
    assert not passwords.is_password(PASSWORD, None)
    assert not passwords.is_password(PASSWORD, "no password")


def test_an_unknown_account_costs_a_real_verification() -> None:
    # Not a clock but the reason: what is verified for nobody is a hash with the same parameters as everybody's.
    parameters = passwords._hash_of_nobody().split("$")[1:4]
    assert parameters == passwords.hashed(PASSWORD).split("$")[1:4]


def test_a_hash_with_weaker_parameters_is_outdated() -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    assert passwords.is_outdated(weak)
    assert not passwords.is_outdated(passwords.hashed(PASSWORD))
