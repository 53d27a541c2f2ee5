#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "peer.h"

static bool first;

static void key_out(const char *key)
{
	printf("%s\"%s\":", first ? "" : ",", key);
	first = false;
}

void reply_begin(void)
{
	putchar('{');
	first = true;
}

void reply_number(const char *key, uint64_t value)
{
	key_out(key);
	printf("%" PRIu64, value);
}

/* Values are addresses and names of our own: nothing that JSON would have escaped. */
void reply_text(const char *key, const char *value)
{
	key_out(key);
	printf("\"%s\"", value);
}

void reply_flag(const char *key, bool value)
{
	key_out(key);
	fputs(value ? "true" : "false", stdout);
}

/* Adds the call that failed and why; what it meant is for the caller to judge. */
void reply_errno(const char *call)
{
	int error = errno;

	reply_text("errno", strerrorname_np(error));
	reply_text("call", call);
}

void reply_finish(void)
{
	puts("}");
	fflush(stdout);
}

void reply_ok(void)
{
	reply_begin();
	reply_finish();
}
