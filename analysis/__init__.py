"""What scores mean: functions of score files only."""
