/* The Python side of the channel: thin, no policy. One channel for each process, as pyfuse3 keeps
 * one mount. Every function is called with the interpreter's lock held. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "answer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct channel the_channel;
static struct answers the_answers;
static bool running;
static bool lost; /* readers of it hang in a disk, or somebody in the device */
static int users; /* calls that are in the device without the interpreter's lock */

/* Naps that those in the device get to leave it when the channel stops, half a second. */
#define MAX_NAPS_FOR_USERS 250

/* Blocks are let go of by the interpreter whenever it comes to it, so their table stays for ever. */
static struct table *the_table;
static struct quiet *the_quiet;

static PyObject *os_error(int error)
{
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static bool must_run(void)
{
    if (!running)
        PyErr_SetString(PyExc_RuntimeError, "the channel does not run");
    return running;
}

static int abandon(void *context)
{
    struct answers *answers = context;

    return waits_abandon(&answers->waits);
}

static PyObject *start(PyObject *module, PyObject *arguments)
{
    unsigned long long direct;
    unsigned long long decrypt;
    unsigned long long flags;
    unsigned short background;
    int device;
    int readers;
    int outside;
    int error;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iiKKHK:start", &device, &readers, &direct, &flags, &background,
                          &decrypt))
        return NULL;
    if (running || lost || readers < 1) {
        PyErr_SetString(PyExc_RuntimeError, "one channel at a time, with one reader at least");
        return NULL;
    }
    the_channel.direct_opcodes = direct;
    the_channel.init_flags = flags;
    the_channel.background = background;
    the_channel.max_pages = (uint16_t)(DATA_BYTES / sysconf(_SC_PAGESIZE));
    the_answers.table = the_table;
    the_answers.channel = &the_channel;
    the_answers.open = (aead_open *)(uintptr_t)decrypt;
    the_channel.answerer = decrypt ? answer_read : NULL;
    the_channel.context = &the_answers;
    quiet_clear(the_quiet); /* Handles that a mount before has left open are not those of this one. */
    the_channel.quiet = the_quiet;
    the_channel.scratch_bytes = decrypt ? ANSWER_SCRATCH : 0;
    the_channel.abandon = abandon;
    the_channel.in_use = false;
    the_answers.wait_for_file = pread;
    the_answers.is_in_memory = pages_in_memory;
    error = waits_start(&the_answers.waits, &the_channel);
    if (error)
        return os_error(error);
    error = channel_start(&the_channel, device, readers, &outside);
    if (error) {
        waits_stop(&the_answers.waits);
        return os_error(error);
    }
    running = true;
    return Py_BuildValue("ii", outside, the_channel.event);
}

static PyObject *stop(PyObject *module, PyObject *nothing)
{
    bool stopped;

    (void)module, (void)nothing;
    if (!must_run())
        return NULL;
    /* From here on nobody comes in, and nobody starts another. */
    running = false;
    lost = true;
    for (int naps = 0; users && naps < MAX_NAPS_FOR_USERS; naps++) {
        const struct timespec time = {.tv_nsec = 2000000};

        Py_BEGIN_ALLOW_THREADS
        nanosleep(&time, NULL);
        Py_END_ALLOW_THREADS
    }
    the_channel.in_use = users;
    Py_BEGIN_ALLOW_THREADS
    waits_stop(&the_answers.waits);
    stopped = channel_stop(&the_channel);
    Py_END_ALLOW_THREADS
    lost = !stopped || the_channel.in_use;
    Py_RETURN_NONE;
}

/* -- a long request, which Python has as it was read ------------------------------------------- */

struct held {
    PyObject_HEAD
    struct message *message;
};

static PyTypeObject *held_type;

static void held_gone(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc gone = (freefunc)PyType_GetSlot(type, Py_tp_free);

    free(((struct held *)self)->message);
    gone(self);
    Py_DECREF(type);
}

static int held_buffer(PyObject *self, Py_buffer *view, int flags)
{
    struct message *message = ((struct held *)self)->message;

    return PyBuffer_FillInfo(view, self, message->bytes, (Py_ssize_t)message->length, 1, flags);
}

static PyType_Slot held_slots[] = {
    {Py_tp_dealloc, held_gone},
    {Py_bf_getbuffer, held_buffer},
    {0, NULL},
};

static PyType_Spec held_spec = {
    .name = "lucidnode.fs.channel._channel.Held",
    .basicsize = sizeof(struct held),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = held_slots,
};

/* Return a memoryview of *message*, which goes with the last view of it. */
static PyObject *hold(struct message *message)
{
    allocfunc make = (allocfunc)PyType_GetSlot(held_type, Py_tp_alloc);
    struct held *held = (struct held *)make(held_type, 0);
    PyObject *view;

    if (!held) {
        free(message);
        return NULL;
    }
    held->message = message;
    view = PyMemoryView_FromObject((PyObject *)held);
    Py_DECREF((PyObject *)held);
    return view;
}

static PyObject *take(PyObject *module, PyObject *nothing)
{
    struct message *message;
    PyObject *bytes;

    (void)module, (void)nothing;
    if (!must_run())
        return NULL;
    message = channel_take(&the_channel);
    if (!message)
        Py_RETURN_NONE;
    if (message->length > KEPT_BYTES)
        return hold(message);
    bytes = PyBytes_FromStringAndSize((const char *)message->bytes, (Py_ssize_t)message->length);
    free(message);
    return bytes;
}

static PyObject *reply(PyObject *module, PyObject *arguments)
{
    unsigned long long unique;
    Py_buffer data;
    int error;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "Kiy*:reply", &unique, &error, &data))
        return NULL;
    if (!must_run()) {
        PyBuffer_Release(&data);
        return NULL;
    }
    users++;
    Py_BEGIN_ALLOW_THREADS
    error = channel_reply(&the_channel, unique, error, data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
    users--;
    PyBuffer_Release(&data);
    if (error)
        return os_error(error);
    Py_RETURN_NONE;
}

static PyObject *notify(PyObject *module, PyObject *arguments)
{
    int code;
    Py_buffer data;
    int error;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iy*:notify", &code, &data))
        return NULL;
    if (!must_run()) {
        PyBuffer_Release(&data);
        return NULL;
    }
    users++;
    Py_BEGIN_ALLOW_THREADS
    error = channel_notify(&the_channel, code, data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
    users--;
    PyBuffer_Release(&data);
    if (error)
        return os_error(error);
    Py_RETURN_NONE;
}

static PyObject *runs(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyBool_FromLong(running);
}

static PyObject *ended(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyLong_FromLong(running ? atomic_load(&the_channel.ended) : 0);
}

static PyObject *counts(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return Py_BuildValue(
        "{sKsKsKsKsKsKsKsKsKsK}", "forwarded", atomic_load(&the_channel.forwarded), "handed_over",
        atomic_load(&the_channel.handed_over), "flushed", atomic_load(&the_channel.flushed),
        "refused_replies",
        atomic_load(&the_channel.refused_replies), "answered", atomic_load(&the_answers.answered),
        "unknown", atomic_load(&the_answers.unknown), "failed", atomic_load(&the_answers.failed),
        "waited", atomic_load(&the_answers.waited), "direct", atomic_load(&the_answers.direct),
        "overdue", atomic_load(&the_answers.overdue));
}

/* -- what is known of open files --------------------------------------------------------------- */

#define BLOCK "lucidnode.channel.block"

static void block_gone(PyObject *capsule)
{
    struct block *block = PyCapsule_GetPointer(capsule, BLOCK);

    if (block)
        table_drop_block(the_table, block);
}

static PyObject *add_block(PyObject *module, PyObject *arguments)
{
    Py_buffer key;
    Py_buffer associated;
    unsigned int plain_bytes;
    int file;
    int direct;
    struct block *block = NULL;
    PyObject *capsule;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iiy*y*I:add_block", &file, &direct, &key, &associated,
                          &plain_bytes))
        return NULL;
    errno = EINVAL;
    if (key.len == KEY_BYTES)
        block = table_add_block(the_table, file, direct, key.buf, associated.buf,
                                (size_t)associated.len, plain_bytes);
    PyBuffer_Release(&key);
    PyBuffer_Release(&associated);
    if (!block)
        return PyErr_SetFromErrno(PyExc_OSError);
    capsule = PyCapsule_New(block, BLOCK, block_gone);
    if (!capsule)
        table_drop_block(the_table, block);
    return capsule;
}

static PyObject *block_number_of(PyObject *module, PyObject *capsule)
{
    struct block *block = PyCapsule_GetPointer(capsule, BLOCK);

    (void)module;
    return block ? PyLong_FromUnsignedLongLong(block_number(block)) : NULL;
}

static PyObject *publish(PyObject *module, PyObject *arguments)
{
    unsigned long long handle;
    long long size;
    long long start;
    long long stop;
    long long block_start;
    PyObject *capsule;
    struct part part;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "KLLLLO:publish", &handle, &size, &start, &stop, &block_start,
                          &capsule))
        return NULL;
    part.block = PyCapsule_GetPointer(capsule, BLOCK);
    if (!part.block)
        return NULL;
    part.start = start;
    part.stop = stop;
    part.block_start = block_start;
    return PyBool_FromLong(table_publish(the_table, handle, size, &part));
}

static PyObject *withdraw(PyObject *module, PyObject *handle)
{
    unsigned long long number = PyLong_AsUnsignedLongLong(handle);

    (void)module;
    if (PyErr_Occurred())
        return NULL;
    table_withdraw(the_table, number);
    Py_RETURN_NONE;
}

static PyObject *quiet(PyObject *module, PyObject *handle)
{
    unsigned long long number = PyLong_AsUnsignedLongLong(handle);

    (void)module;
    if (PyErr_Occurred())
        return NULL;
    quiet_add(the_quiet, number);
    Py_RETURN_NONE;
}

static PyObject *unquiet(PyObject *module, PyObject *handle)
{
    unsigned long long number = PyLong_AsUnsignedLongLong(handle);

    (void)module;
    if (PyErr_Occurred())
        return NULL;
    quiet_remove(the_quiet, number);
    Py_RETURN_NONE;
}

static PyObject *places(PyObject *module, PyObject *nothing)
{
    PyObject *list = PyList_New(0);
    struct place place;

    (void)module, (void)nothing;
    while (list && table_take_place(the_table, &place)) {
        PyObject *item = Py_BuildValue(
            "KLLKKK", (unsigned long long)place.handle, (long long)place.offset,
            (long long)place.length, (unsigned long long)place.block,
            (unsigned long long)place.reads, (unsigned long long)place.nanoseconds);

        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"start", start, METH_VARARGS, NULL},   {"stop", stop, METH_NOARGS, NULL},
    {"take", take, METH_NOARGS, NULL},      {"reply", reply, METH_VARARGS, NULL},
    {"notify", notify, METH_VARARGS, NULL}, {"runs", runs, METH_NOARGS, NULL},
    {"ended", ended, METH_NOARGS, NULL},    {"counts", counts, METH_NOARGS, NULL},
    {"add_block", add_block, METH_VARARGS, NULL},
    {"block_number", block_number_of, METH_O, NULL},
    {"publish", publish, METH_VARARGS, NULL},
    {"withdraw", withdraw, METH_O, NULL},
    {"quiet", quiet, METH_O, NULL},
    {"unquiet", unquiet, METH_O, NULL},
    {"places", places, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_channel", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__channel(void)
{
    PyObject *module;

    the_table = table_new();
    the_quiet = quiet_new();
    if (!the_table || !the_quiet)
        return PyErr_NoMemory();
    held_type = (PyTypeObject *)PyType_FromSpec(&held_spec);
    if (!held_type)
        return NULL;
    module = PyModule_Create(&definition);
    if (module &&
        (PyModule_AddIntConstant(module, "MIN_DIRECT_BYTES", MIN_DIRECT_BYTES) < 0 ||
         PyModule_AddIntConstant(module, "READS_DIRECTLY", pages_are_told()) < 0))
        Py_CLEAR(module);
    return module;
}
