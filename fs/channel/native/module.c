/* The Python side of the channel: thin, no policy. One channel for each process, as pyfuse3 keeps
 * one mount. Every function is called with the interpreter's lock held. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct channel the_channel;
static bool running;

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

static PyObject *start(PyObject *module, PyObject *arguments)
{
    unsigned long long direct;
    unsigned int flags;
    int device;
    int readers;
    int outside;
    int error;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "iiKI:start", &device, &readers, &direct, &flags))
        return NULL;
    if (running || readers < 1) {
        PyErr_SetString(PyExc_RuntimeError, "one channel at a time, with one reader at least");
        return NULL;
    }
    the_channel.direct_opcodes = direct;
    the_channel.init_flags = flags;
    the_channel.max_pages = (uint16_t)(DATA_BYTES / sysconf(_SC_PAGESIZE));
    error = channel_start(&the_channel, device, readers, &outside);
    if (error)
        return os_error(error);
    running = true;
    return Py_BuildValue("ii", outside, the_channel.event);
}

static PyObject *stop(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    if (!must_run())
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    channel_stop(&the_channel);
    Py_END_ALLOW_THREADS
    running = false;
    Py_RETURN_NONE;
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
    Py_BEGIN_ALLOW_THREADS
    error = channel_reply(&the_channel, unique, error, data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
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
    Py_BEGIN_ALLOW_THREADS
    error = channel_notify(&the_channel, code, data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
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
    return Py_BuildValue("{sKsKsK}", "forwarded", atomic_load(&the_channel.forwarded),
                         "handed_over", atomic_load(&the_channel.handed_over), "refused_replies",
                         atomic_load(&the_channel.refused_replies));
}

static PyMethodDef methods[] = {
    {"start", start, METH_VARARGS, NULL},   {"stop", stop, METH_NOARGS, NULL},
    {"take", take, METH_NOARGS, NULL},      {"reply", reply, METH_VARARGS, NULL},
    {"notify", notify, METH_VARARGS, NULL}, {"runs", runs, METH_NOARGS, NULL},
    {"ended", ended, METH_NOARGS, NULL},    {"counts", counts, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_channel", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__channel(void)
{
    return PyModule_Create(&definition);
}
