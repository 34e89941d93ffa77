"""Clock and calendar in words."""

from datetime import datetime

from offline_responder.domain.numbers import say_integer, say_ordinal, say_year

# Written out, not taken from the locale: the answers are English on every machine.
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def say_time(now: datetime) -> str:
    """ "ten forty two in the morning"; noon and midnight by name."""
    if now.minute == 0 and now.hour in {0, 12}:
        return "midnight" if now.hour == 0 else "noon"
    hour = say_integer(now.hour % 12 or 12)
    if now.minute == 0:
        clock = f"{hour} o'clock"
    elif now.minute < 10:
        clock = f"{hour} oh {say_integer(now.minute)}"
    else:
        clock = f"{hour} {say_integer(now.minute)}"
    return f"{clock} {part_of_day(now)}"


def part_of_day(now: datetime) -> str:
    if now.hour < 12:
        return "in the morning"
    if now.hour < 18:
        return "in the afternoon"
    return "in the evening" if now.hour < 22 else "at night"


def say_date(day: datetime) -> str:
    """ "Friday, the twenty first of November, twenty twenty six"."""
    return f"{WEEKDAYS[day.weekday()]}, the {say_ordinal(day.day)} of {MONTHS[day.month - 1]}, {say_year(day.year)}"
