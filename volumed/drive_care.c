/*
 * What becomes of drives with time: one timer looks at each of them every second. Those
 * that nobody asks for are let go of, those that hang have what waits for them refused.
 */
#include "volumed/drive_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/placement.h"

enum { CARE_MS = 1000 }; /* between two looks */

static void wake_work(struct job *job)
{
    struct drive *d = container_of(job, struct drive, waking);
    struct footing *f;
    int err = drive_footing(d, SETTLE_LOOK, &f);
    if (err)
        log_warn("drive %s: %s", d->name, strerror(-err));
    else
        footing_unref(f);
}

static void wake_done(struct job *job)
{
    (void)job;
}

static void rest_work(struct job *job)
{
    drive_rest(container_of(job, struct drive, resting.job));
}

static void rest_done(struct job *job)
{
    container_of(job, struct drive, resting.job)->rests = false;
}

static void rest_if_idle(struct drive *d)
{
    if (d->rests || !drive_is_idle(d))
        return;
    d->rests = true;
    d->resting.job.work = rest_work;
    d->resting.job.done = rest_done;
    drive_write(d, d->drives->loop, &d->resting);
}

/* What waits for a drive that hangs holds a connection, and more keep coming: sooner or
 * later those for the other drives would find no descriptor. */
static void see_if_hangs(struct drive *d)
{
    bool reads = workers_hang(d->readers, d->drives->hang_ms);
    bool writes = workers_hang(d->writers, d->drives->hang_ms);
    if ((reads || writes) == d->hangs)
        return;
    d->hangs = !d->hangs;
    if (d->hangs)
        log_error("drive %s hangs: what would have to wait for it is refused", d->name);
    else
        log_info("drive %s answers again", d->name);
}

static void care_fire(struct timer *timer)
{
    struct drives *drives = container_of(timer, struct drives, care);
    int n = atomic_load_explicit(&drives->n, memory_order_acquire);
    for (int i = 0; i <= n; i++) {
        struct drive *d = i < n ? drives->drive[i] : drives->root;
        see_if_hangs(d);
        rest_if_idle(d);
    }
    timer_set(drives->loop, &drives->care, CARE_MS);
}

void drives_wake(struct drives *drives, struct loop *loop, int hang_ms)
{
    drives->loop = loop;
    drives->hang_ms = (uint64_t)hang_ms;
    drives->care.fire = care_fire;
    timer_set(loop, &drives->care, CARE_MS);

    struct footing *top = drive_at_hand(drives->root);
    int fd = top ? openat(footing_fd(top), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    footing_unref(top);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return; /* they are found when they are asked for */
    }
    const struct dirent *entry;
    while ((entry = readdir(folder))) {
        if (!placement_names_subvolume(str_of(entry->d_name)) ||
            (entry->d_type != DT_DIR && entry->d_type != DT_LNK &&
             entry->d_type != DT_UNKNOWN))
            continue;
        struct drive *d = drives_add(drives, entry->d_name);
        if (!d)
            break;
        if (d->waking.work)
            continue; /* a name may be read twice */
        d->waking.work = wake_work;
        d->waking.done = wake_done;
        workers_submit(d->readers, loop, &d->waking);
    }
    closedir(folder);
}
