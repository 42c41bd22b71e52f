# The system calls on an address space, as a table: struct mm_calls in records.pxd. engine.pyx calls through m.calls,
# and so does whoever is below a call that it needs (a fault that grows a stack). Kernel.calls names the table:
#
#   v2_6    2.4 to 2.6.34: the files of 2004 beside this folder (mmap.pyx, mprotect.pyx, mremap.pyx, mlock.pyx, ...)
#   v6      6.18, as the running kernel answers: the files NAME_6.pyx of this folder, one call or family each
#
# What differs by a number or a condition is a field of kernel_rules instead; a call is here when its order of checks,
# or what it undoes, is another one.
#
#   mmap(...)             the address, or a negative errno. file 0: anonymous
#   mremap(...)           the new address, or a negative errno
#   brk(...)              the new end of the heap, or the old one
#   remap_file_pages      flags: MAP_NONBLOCK counts
#   mlock2                flags: MLOCK_ONFAULT
#   mincore               vec has a byte a page; they are set only if the call succeeds
#   expand_stack(vma, addr)     a VM_GROWSDOWN vma grows to hold addr, which is below it; 0 or a negative errno
#   populate(start, end)  mm_populate: what a new mapping that is locked, or MAP_POPULATE, faults in; no errors
# All others: 0 or a negative errno.
