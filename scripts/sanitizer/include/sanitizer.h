// Nothing to call: the target is there to be linked, see mutex.c.
