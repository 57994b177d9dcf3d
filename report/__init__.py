"""Report and slides, made from the files of an experiment: python -m report FOLDER"""
