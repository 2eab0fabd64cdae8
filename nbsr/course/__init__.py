"""The course: notebooks whose exercises check themselves, without the internet.

    from nbsr.course import check, progress, quiz
    check("3.1", size)        # runs what you wrote on fresh random cases, and says what is wrong with it
    quiz("1.4")               # a question to click on; its answer is there in Python
    progress()                # what is solved so far

check       one answer judged, remembered and answered
quiz        questions with typeset formulas
record      what was tried and solved, in a file beside the notebooks
judge       what all kinds of exercises have in common: types, cases, the limit of time
chapters    the exercises, a file for each notebook
words       all that is said, in one file a language
notebooks   copies for students, and the page for a teacher

A checker says what is wrong, and at the third try gives a hint; it never tells the solution.  Nothing here raises for
an answer that cannot be judged: it is told in a sentence, and no try is lost.
"""

from nbsr.course.check import Verdict, check, progress
from nbsr.course.quiz import Quiz, quiz

__all__ = ["Quiz", "Verdict", "check", "progress", "quiz"]
