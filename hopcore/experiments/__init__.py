"""Studies with real data: one package for each, with its trials, its report and its command.

``study.py`` says what a study is and ``registry.py`` lists the commands of ``hopcore experiment``.
``data`` has the data sets and ``models`` the classifiers that are trained.
"""
