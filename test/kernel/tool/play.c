/* The interpreter: reads a command a line, answers a line. A descriptor is the name of a socket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

#define MAX_ARGUMENTS 16

static const struct command *const TABLES[] = { lifecycle_commands, transfer_commands, process_commands,
						wait_commands };

int descriptor(const char *text)
{
	char *rest;
	long fd = strtol(text, &rest, 10);

	if (*rest || rest == text || fd < 0 || fd >= MAX_FDS)
		die("not a descriptor: %s", text);
	return (int)fd;
}

uint64_t count_of(const char *text)
{
	char *rest;
	uint64_t count = strtoull(text, &rest, 10);

	if (*rest || rest == text)
		die("not a number: %s", text);
	return count;
}

static const struct command *command_named(const char *name)
{
	for (size_t table = 0; table < sizeof(TABLES) / sizeof(*TABLES); table++)
		for (const struct command *c = TABLES[table]; c->name; c++)
			if (!strcmp(c->name, name))
				return c;
	die("no command %s", name);
}

void dispatch(char *line)
{
	char *argv[MAX_ARGUMENTS];
	int argc = 0;
	const struct command *command;

	for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
		if (argc == MAX_ARGUMENTS)
			die("more than %d words in a command", MAX_ARGUMENTS);
		argv[argc++] = word;
	}
	if (!argc)
		die("empty command");
	command = command_named(argv[0]);
	if (argc <= command->arguments)
		die("%s takes %d arguments", argv[0], command->arguments);
	command->run(argc, argv);
}

int play(void)
{
	char *line = NULL;
	size_t size = 0;

	ledger_open();
	while (getline(&line, &size, stdin) > 0)
		dispatch(line);
	free(line);
	return 0;
}
