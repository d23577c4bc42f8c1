/* paths.h - places that a user names. They are looked at before the work, so that a bad one costs nothing,
 * and what a program did not write it does not replace. Each check ends the program with 2; rows of a table
 * of options ask for them (`path` in options.h). */
#ifndef PATHS_H
#define PATHS_H

void check_readable(const char *path);
/* A program as the shell finds it. */
void check_runnable(const char *name);
/* A file that can be written, where nothing is, or one of the option's own, which has the text `own` in its
 * beginning; NULL: any. What is no regular file is written straight into and loses nothing. */
void check_writable(const char *option, const char *path, const char *own);
/* A folder for files: it is there, or can be made. */
void check_folder(const char *path);

/* The same file, though its names may differ, and though it may not be there yet. */
int same_file(const char *a, const char *b);
int is_device(const char *path); /* or a pipe: nothing is replaced there */
/* The name of a file of weights in the folder, in the caller's room; 0: it holds none. */
enum { MODEL_FILE_NAME = 256 };
int holds_weights(const char *folder, char name[MODEL_FILE_NAME]);

#endif
