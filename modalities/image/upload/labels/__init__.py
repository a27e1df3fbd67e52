"""Labels of images: in names of folders and files, and in files of labels."""
