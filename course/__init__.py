"""The course: a folder for each lesson, with its text, its nets and what its commands have made."""
