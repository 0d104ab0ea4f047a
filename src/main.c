/* xai: explains the decisions of neural networks. A table of commands. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "commands.h"
#include "progress.h"
#include "say.h"
#include "stop.h"

static const struct command commands[] = {
    {"info", FOR_INFO, "MODEL [--method M] [--graph] [--memory] [--json]",
     "Shows a model's inputs, outputs and operators, and how a method will treat each node",
     "  xai info model.onnx\n"
     "  xai info model.onnx --method epsilon-plus --graph\n",
     cmd_info},
    {"run", FOR_RUN, "MODEL INPUT... [-o FILE]", "Runs a model and shows its largest outputs",
     "INPUT is .npy, .npz, .npz:KEY, .pb, .png, .jpg, .idx (.gz too), - (standard input), a "
     "folder\n"
     "or a glob; a model with several inputs takes NAME=FILE for each.\n\n"
     "  xai run model.onnx photo.jpg --labels names.txt\n"
     "  xai run model.onnx photos/ -o scores.npy\n",
     cmd_run},
    {"explain", FOR_EXPLAIN, "MODEL INPUT... [--method M] [--target T] [-o FILE]...",
     "Shows why a model decided as it did: the relevance of every input element",
     "INPUT is .npy, .npz, .npz:KEY, .pb, .png, .jpg, .idx (.gz too), - (standard input), a "
     "folder\n"
     "or a glob; a model with several inputs takes NAME=FILE for each. FILE's extension says what "
     "is\n"
     "written: .npy or .npz the numbers, .png a heatmap, .html a report, .json a summary; a "
     "folder/ gets\nnumbers, heatmaps and a summary.\n\n"
     "  xai explain model.onnx photo.jpg --method epsilon-plus -o why.png\n"
     "  xai explain model.onnx photos/ --method lrp-gamma,gamma=0.1 -o out/%i.png --overlay\n"
     "  xai explain model.onnx photo.jpg -m gradient -m lrp-0 --sheet sheet.png\n",
     cmd_explain},
    {"prototype", FOR_PROTOTYPE, "MODEL --target T [--prior P[,k=v...]]... [-o FILE]...",
     "Shows what a class looks like to a model: the input that maximises it",
     "P is a density expert's name or a FILE.npz of `xai fit`. FILE's extension says what is\n"
     "written: .npz or .npy the numbers, .png a contact sheet, .json a summary. Inputs that are not\n"
     "searched for are given as NAME=FILE.\n\n"
     "  xai prototype model.onnx --target all --prior l2,weight=0.05 -o classes.png\n"
     "  xai prototype model.onnx --target 3 --restarts 8 --prior expert.npz,weight=0.1 -o faces.png\n"
     "  xai prototype model.onnx --target 3 --generator decoder.onnx --prior l2,weight=0.5\n",
     cmd_prototype},
    {"fit", FOR_FIT, "KIND DATA [k=v...] -o EXPERT.npz",
     "Fits a density expert to data, for xai prototype",
     "DATA is .npy, .npz:KEY or .idx (.gz too), items along the first axis; bytes are pictures.\n\n"
     "  xai fit gaussian train-images.idx.gz rank=50 -o gaussian.npz\n"
     "  xai fit gmm codes.npy components=10 --held-out others.npy -o gmm.npz\n",
     cmd_fit},
    {"sheet", FOR_SHEET, "FILE.npz... -o SHEET.png", "Shows files of xai prototype side by side",
     "A row a file, under its name; under each picture its score and the last prior's log p.\n\n"
     "  xai sheet l2.npz gaussian.npz rbm.npz -o priors.png\n",
     cmd_sheet},
    {"test", FOR_TEST, "DIR... [--explain] [--json]",
     "Runs ONNX backend test folders (model.onnx with test_data_set_*/)",
     "Folders are searched recursively, cases run side by side. A refused model counts as failed.\n"
     "Exit code 1 unless every case passed.\n", cmd_test},
    {"bench", FOR_BENCH, "MODEL [INPUT...] [--method M]... [--rounds N]",
     "Times loading, running and explaining, and shows their memory",
     "Without INPUT the numbers are drawn, and symbolic sizes are 1.\n\n"
     "  xai bench model.onnx\n"
     "  xai bench model.onnx photo.jpg -m epsilon-plus -m smoothgrad,samples=10 --threads 1\n",
     cmd_bench},
    {"methods", FOR_CATALOG, "[--json]", "Lists the methods and their parameters", NULL,
     cmd_methods},
    {"rules", FOR_CATALOG, "[--json]", "Lists the rules and their parameters", NULL, cmd_rules},
    {"ops", FOR_CATALOG, "[--json]", "Lists the operators", NULL, cmd_ops},
    {"priors", FOR_CATALOG, "[--json]", "Lists the density experts", NULL, cmd_priors},
    {"metrics", FOR_CATALOG, "[--json]", "Lists the metrics", NULL, cmd_metrics},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void) {
  printf("usage: xai COMMAND ...\n\nExplains the decisions of neural networks (ONNX).\n\n");
  for (size_t i = 0; i < COMMANDS; i++) {
    if (!cmd_catalog_is_empty(commands[i].name)) {
      printf("  %-9s %s\n", commands[i].name, commands[i].about);
    }
  }
  printf(
      "\n'xai COMMAND --help' says more. Exit codes: 0 done, 1 later failure, 2 usage, 3 model,\n"
      "4 input, 5 memory or a limit, 130 interrupted.\n");
}

static void print_version(bool json) {
  if (json) {
    printf("{\"tool\": \"%s\", \"library\": \"%s\"}\n", XAI_VERSION_STRING, xai_version());
  } else {
    printf("xai %s (libxai %s)\n", XAI_VERSION_STRING, xai_version());
  }
}

static const struct command *find(const char *name) {
  for (size_t i = 0; i < COMMANDS; i++) {
    if (!strcmp(commands[i].name, name) && !cmd_catalog_is_empty(name))
      return &commands[i];
  }
  return NULL;
}

static int unknown(const char *name) {
  const char *names[COMMANDS];
  size_t n = 0;
  for (size_t i = 0; i < COMMANDS; i++) {
    if (!cmd_catalog_is_empty(commands[i].name))
      names[n++] = commands[i].name;
    else if (!strcmp(commands[i].name, name))
      return say(EXIT_USAGE, "this version has no %s", name);
  }
  const char *near = say_nearest(name, names, n);
  if (name[0] == '-')
    near = NULL;
  return say(EXIT_USAGE, "unknown %s '%s'%s%s%s; see 'xai --help'",
             name[0] == '-' ? "option" : "command", name, near ? ", did you mean '" : "",
             near ? near : "", near ? "'?" : "");
}

static int run(int argc, char **argv) {
  const char *first = argc > 1 ? argv[1] : NULL;
  if (!first)
    return say(EXIT_USAGE, "what to do? see 'xai --help'");
  bool help = !strcmp(first, "help") || !strcmp(first, "--help") || !strcmp(first, "-h");
  if (help && argc > 2) {
    const struct command *c = find(argv[2]);
    if (!c)
      return unknown(argv[2]);
    options_help(c);
    return EXIT_FINE;
  }
  if (help) {
    print_help();
    return EXIT_FINE;
  }
  if (!strcmp(first, "--version") || !strcmp(first, "-V")) {
    print_version(argc > 2 && !strcmp(argv[2], "--json"));
    return EXIT_FINE;
  }
  const struct command *c = find(first);
  if (!c)
    return unknown(first);
  struct options o;
  int code = options_parse(c, argc - 1, argv + 1, &o);
  if (!code && o.help) {
    options_help(c);
  } else if (!code && o.version) {
    print_version(o.json);
  } else if (!code) {
    code = stop_begin(o.timeout);
    if (!code)
      code = c->run(&o);
    progress_end();
    stop_end();
  }
  options_free(&o);
  return code;
}

/* A reader that left early (xai ... | head) is no failure; a full disk is. */
static int flush(int code) {
  if (!fflush(stdout) && !ferror(stdout))
    return code;
  struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};
  if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR))
    return code;
  return code ? code : say(EXIT_LATER, "cannot write to standard output");
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  return flush(run(argc, argv));
}
