// SPDX-License-Identifier: GPL-2.0
/* What a module can offer to BPF programs, one of each: kfuncs, a struct_ops
 * type, variables, types, a tracepoint, functions to attach to.
 *
 * A number that is written to rawbpf_test/run in debugfs makes everything run
 * that is attached, in the context of the writer; the file then reads as the
 * result. rawbpf_test/name is the name of the struct_ops map that is
 * registered, rawbpf_test/holders how many hold the ticket.
 */

#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>

#include "rawbpf_test.h"

#define CREATE_TRACE_POINTS
#include "rawbpf_test_trace.h"

static DEFINE_MUTEX(rawbpf_test_lock); /* protects the next two */
static struct rawbpf_test_ops *rawbpf_test_registered;
static int rawbpf_test_result;

static struct rawbpf_test_ticket rawbpf_test_ticket;
static struct dentry *rawbpf_test_dir;

/* Variables that a program can find by their names. */
int rawbpf_test_answer = 42;
EXPORT_SYMBOL_GPL(rawbpf_test_answer);
DEFINE_PER_CPU(int, rawbpf_test_runs) = 1000;

__bpf_kfunc_start_defs();

__bpf_kfunc int rawbpf_test_add(int first, int second)
{
	return first + second;
}

__bpf_kfunc int rawbpf_test_dot(const struct rawbpf_test_pair *one,
				const struct rawbpf_test_pair *other)
{
	return one->first * other->first + one->second * other->second;
}

__bpf_kfunc int rawbpf_test_sleep(u32 usecs)
{
	usleep_range(usecs, usecs + 10);
	return 0;
}

__bpf_kfunc struct rawbpf_test_ticket *rawbpf_test_take(int number)
{
	if (number < 0)
		return NULL;

	WRITE_ONCE(rawbpf_test_ticket.number, number);
	atomic_inc(&rawbpf_test_ticket.holders);
	return &rawbpf_test_ticket;
}

__bpf_kfunc void rawbpf_test_give_back(struct rawbpf_test_ticket *ticket)
{
	atomic_dec(&ticket->holders);
}

__bpf_kfunc void rawbpf_test_give_back_dtor(void *ticket)
{
	rawbpf_test_give_back(ticket);
}
CFI_NOSEAL(rawbpf_test_give_back_dtor);

/* For fmod_ret: what it returns, a write to the file fails with. */
__bpf_kfunc noinline int rawbpf_test_allow(u64 value)
{
	barrier();
	return 0;
}

/* For fentry and fexit, with a struct that is passed by value. */
noinline int rawbpf_test_finish(int result, struct rawbpf_test_pair pair,
				const char *label)
{
	barrier();
	return result + pair.first;
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(rawbpf_test_kfunc_ids)
BTF_ID_FLAGS(func, rawbpf_test_add)
BTF_ID_FLAGS(func, rawbpf_test_dot)
BTF_ID_FLAGS(func, rawbpf_test_sleep, KF_SLEEPABLE)
BTF_ID_FLAGS(func, rawbpf_test_take, KF_ACQUIRE | KF_RET_NULL)
BTF_ID_FLAGS(func, rawbpf_test_give_back, KF_RELEASE)
BTF_KFUNCS_END(rawbpf_test_kfunc_ids)

static const struct btf_kfunc_id_set rawbpf_test_kfunc_set = {
	.owner	= THIS_MODULE,
	.set	= &rawbpf_test_kfunc_ids,
};

BTF_SET8_START(rawbpf_test_fmodret_ids)
BTF_ID_FLAGS(func, rawbpf_test_allow)
BTF_SET8_END(rawbpf_test_fmodret_ids)

static const struct btf_kfunc_id_set rawbpf_test_fmodret_set = {
	.owner	= THIS_MODULE,
	.set	= &rawbpf_test_fmodret_ids,
};

BTF_ID_LIST(rawbpf_test_dtor_ids)
BTF_ID(struct, rawbpf_test_ticket)
BTF_ID(func, rawbpf_test_give_back_dtor)

/* The struct_ops type. */

static int rawbpf_test_ops_init(struct btf *btf)
{
	return 0;
}

static int rawbpf_test_ops_check_member(const struct btf_type *t,
					const struct btf_member *member,
					const struct bpf_prog *prog)
{
	bool may_sleep = __btf_member_bit_offset(t, member) / 8 ==
			 offsetof(struct rawbpf_test_ops, run);

	return prog->sleepable && !may_sleep ? -EINVAL : 0;
}

static int rawbpf_test_ops_init_member(const struct btf_type *t,
				       const struct btf_member *member,
				       void *kdata, const void *udata)
{
	const struct rawbpf_test_ops *from = udata;
	struct rawbpf_test_ops *to = kdata;

	switch (__btf_member_bit_offset(t, member) / 8) {
	case offsetof(struct rawbpf_test_ops, scale):
		to->scale = from->scale;
		return 1;
	case offsetof(struct rawbpf_test_ops, name):
		if (!from->name[0] ||
		    strscpy(to->name, from->name, sizeof(to->name)) < 0)
			return -EINVAL;
		return 1;
	}

	return 0;
}

static int rawbpf_test_ops_validate(void *kdata)
{
	struct rawbpf_test_ops *ops = kdata;

	return ops->run ? 0 : -EINVAL;
}

static int rawbpf_test_ops_reg(void *kdata, struct bpf_link *link)
{
	guard(mutex)(&rawbpf_test_lock);
	if (rawbpf_test_registered)
		return -EEXIST;

	rawbpf_test_registered = kdata;
	return 0;
}

static void rawbpf_test_ops_unreg(void *kdata, struct bpf_link *link)
{
	guard(mutex)(&rawbpf_test_lock);
	rawbpf_test_registered = NULL;
}

static int rawbpf_test_ops_update(void *kdata, void *old_kdata,
				  struct bpf_link *link)
{
	guard(mutex)(&rawbpf_test_lock);
	rawbpf_test_registered = kdata;
	return 0;
}

static int rawbpf_test_ops_run(struct rawbpf_test_event *event)
{
	return 0;
}

static int rawbpf_test_ops_bonus(int first, int second)
{
	return 0;
}

static struct rawbpf_test_ops rawbpf_test_ops_stubs = {
	.run	= rawbpf_test_ops_run,
	.bonus	= rawbpf_test_ops_bonus,
};

static const struct bpf_verifier_ops rawbpf_test_verifier_ops = {
	.get_func_proto		= bpf_base_func_proto,
	.is_valid_access	= bpf_tracing_btf_ctx_access,
};

static struct bpf_struct_ops rawbpf_test_struct_ops = {
	.verifier_ops	= &rawbpf_test_verifier_ops,
	.init		= rawbpf_test_ops_init,
	.check_member	= rawbpf_test_ops_check_member,
	.init_member	= rawbpf_test_ops_init_member,
	.validate	= rawbpf_test_ops_validate,
	.reg		= rawbpf_test_ops_reg,
	.unreg		= rawbpf_test_ops_unreg,
	.update		= rawbpf_test_ops_update,
	.cfi_stubs	= &rawbpf_test_ops_stubs,
	.name		= "rawbpf_test_ops",
	.owner		= THIS_MODULE,
};

/* The files. */

static int rawbpf_test_run(void *data, u64 value)
{
	struct rawbpf_test_event event = {
		.value	= value,
		.kind	= value & 1 ? RAWBPF_TEST_ODD : RAWBPF_TEST_EVEN,
		.pair	= { .first = 3, .second = 4 },
		.flags	= 5,
		.level	= 17,
		.label	= "a label",
	};
	struct rawbpf_test_ops *ops;
	int result = 0;
	int err;

	err = rawbpf_test_allow(value);
	if (err)
		return err;

	guard(mutex)(&rawbpf_test_lock);
	ops = rawbpf_test_registered;
	if (ops) {
		result = ops->run(&event) * ops->scale;
		if (ops->bonus)
			result += ops->bonus(event.pair.first,
					     event.pair.second);
	}
	rawbpf_test_result = rawbpf_test_finish(result, event.pair,
						event.label);
	this_cpu_inc(rawbpf_test_runs);
	trace_rawbpf_test_ran(&event, rawbpf_test_result);

	return 0;
}

static int rawbpf_test_read(void *data, u64 *value)
{
	guard(mutex)(&rawbpf_test_lock);
	*value = rawbpf_test_result;
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(rawbpf_test_run_fops, rawbpf_test_read,
				rawbpf_test_run, "%lld\n");

static int rawbpf_test_name_show(struct seq_file *seq, void *data)
{
	guard(mutex)(&rawbpf_test_lock);
	seq_printf(seq, "%s\n", rawbpf_test_registered ?
				rawbpf_test_registered->name : "");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(rawbpf_test_name);

static int __init rawbpf_test_init(void)
{
	const struct btf_id_dtor_kfunc dtor = {
		.btf_id		= rawbpf_test_dtor_ids[0],
		.kfunc_btf_id	= rawbpf_test_dtor_ids[1],
	};
	int err;

	err = register_btf_kfunc_id_set(BPF_PROG_TYPE_UNSPEC,
					&rawbpf_test_kfunc_set);
	err = err ?: register_btf_fmodret_id_set(&rawbpf_test_fmodret_set);
	err = err ?: register_btf_id_dtor_kfuncs(&dtor, 1, THIS_MODULE);
	err = err ?: register_bpf_struct_ops(&rawbpf_test_struct_ops,
					     rawbpf_test_ops);
	if (err)
		return err;

	rawbpf_test_dir = debugfs_create_dir("rawbpf_test", NULL);
	debugfs_create_file("run", 0600, rawbpf_test_dir, NULL,
			    &rawbpf_test_run_fops);
	debugfs_create_file("name", 0400, rawbpf_test_dir, NULL,
			    &rawbpf_test_name_fops);
	debugfs_create_atomic_t("holders", 0400, rawbpf_test_dir,
				&rawbpf_test_ticket.holders);

	return 0;
}

static void __exit rawbpf_test_exit(void)
{
	debugfs_remove(rawbpf_test_dir);
}

module_init(rawbpf_test_init);
module_exit(rawbpf_test_exit);

MODULE_DESCRIPTION("What a module can offer to BPF programs, for tests");
MODULE_LICENSE("GPL");
