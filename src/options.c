/* getopt_long over one table. */
#include "options.h"
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "say.h"

enum kind { FLAG, TEXT, TEXTS, CHOICE, COUNT, NUMBER, BYTES };

struct row {
  const char *name;
  char letter; /* 0: none */
  enum kind kind;
  const char *value; /* placeholder; of a CHOICE: a|b|c */
  int commands;
  size_t offset;
  const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct row rows[] = {
    {"method", 'm', TEXTS, "NAME[,k=v...]", FOR_INFO | FOR_EXPLAIN | FOR_BENCH, AT(methods),
     "how to explain (`xai methods` lists them)"},
    {"target", 't', TEXT, "T", FOR_EXPLAIN | FOR_PROTOTYPE, AT(target),
     "max | N | N,M,.. | top:K | all | c:y:x | channel:K | OUTPUT/N | @mask.npy (default: max)"},
    {"from", 0, TEXT, "TENSOR[:N]", FOR_EXPLAIN | FOR_PROTOTYPE, AT(from), "explain this tensor, not the output"},
    {"at", 0, TEXTS, "TENSOR", FOR_ITEMS | FOR_PROTOTYPE, AT(at), "look at this tensor (may be repeated)"},
    {"rule", 0, TEXTS, "GLOB=RULE[,k=v...]", FOR_EXPLAIN, AT(rules),
     "rule of the nodes op:GLOB, name:GLOB or depth:A-B (may be repeated)"},
    {"output", 0, CHOICE, "logit|final|log-prob", FOR_ITEMS | FOR_BENCH, AT(output),
     "with or without the last softmax"},
    {"seed", 0, TEXT, "value|one|contrast", FOR_EXPLAIN | FOR_BENCH, AT(seed), "relevance to start from"},
    {"bias", 0, CHOICE, "absorb|zero", FOR_EXPLAIN | FOR_BENCH, AT(bias), "biases keep a share, or none"},
    {"prior", 0, TEXTS, "P[,k=v...]", FOR_PROTOTYPE, AT(priors),
     "expert: a name (`xai priors` lists them) or FILE.npz, with weight= and on=code|input"},
    {"generator", 0, TEXT, "G.onnx", FOR_PROTOTYPE, AT(generator),
     "search for its code, and show what it makes of that"},
    {"score", 0, CHOICE, "log-prob|logit", FOR_PROTOTYPE, AT(climb.score),
     "what is to be large (default: log-prob)"},
    {"steps", 0, TEXT, "N", FOR_PROTOTYPE, AT(climb.steps), "of the ascent (default: 200)"},
    {"rate", 0, TEXT, "R", FOR_PROTOTYPE, AT(climb.rate), "size of a step (default: 0.05)"},
    {"optimizer", 0, CHOICE, "adam|momentum|gradient", FOR_PROTOTYPE, AT(climb.optimizer),
     "how it climbs (default: adam)"},
    {"momentum", 0, TEXT, "M", FOR_PROTOTYPE, AT(climb.momentum), "of adam and momentum (default: 0.9)"},
    {"restarts", 0, TEXT, "N", FOR_PROTOTYPE, AT(climb.restarts), "prototypes a target (default: 1)"},
    {"keep", 0, CHOICE, "all|best", FOR_PROTOTYPE, AT(climb.keep), "which of the restarts (default: all)"},
    {"init", 0, TEXT, "I", FOR_PROTOTYPE, AT(climb.init),
     "noise | zeros | mean | FILE: where it starts (default: noise)"},
    {"noise", 0, TEXT, "S", FOR_PROTOTYPE, AT(climb.noise),
     "standard deviation of the start's chance (default: 0.1)"},
    {"low", 0, TEXT, "L", FOR_PROTOTYPE, AT(climb.low),
     "box: a number, one a channel (a:b:c) or @FILE (default: black, for pictures)"},
    {"high", 0, TEXT, "H", FOR_PROTOTYPE, AT(climb.high), "likewise (default: white, for pictures)"},
    {"jitter", 0, TEXT, "N", FOR_PROTOTYPE, AT(climb.jitter), "move the picture by up to N pixels, anew each step"},
    {"blur", 0, TEXT, "S", FOR_PROTOTYPE, AT(climb.blur), "smooth the first gradients by S pixels"},
    {"frequency", 0, TEXT, "P", FOR_PROTOTYPE, AT(climb.frequency),
     "search by frequencies f, weighed by f^-P (1 is natural)"},
    {"trace", 0, COUNT, "N", FOR_PROTOTYPE, AT(climb.trace), "keep every N-th step's numbers in .npz"},
    {"held-out", 0, TEXT, "DATA", FOR_FIT, AT(held_out), "judge the fit by these items, too"},
    {"out", 'o', TEXTS, "FILE", FOR_ITEMS | FOR_PROTOTYPE | FOR_SHEET | FOR_FIT, AT(out),
     "write .npy, .npz, .json (pictures: .png; explain: .html) or a folder/; %i: item, %t: target"},
    {"overlay", 0, FLAG, NULL, FOR_EXPLAIN, AT(overlay), "pictures show the input beneath"},
    {"channels", 0, CHOICE, "sum|mean|max-abs", FOR_EXPLAIN, AT(channels),
     "from channels to a picture (default: sum)"},
    {"clip", 0, NUMBER, "PERCENT", FOR_EXPLAIN, AT(clip),
     "percentile that gets the full colour (default: 100)"},
    {"palette", 0, CHOICE, "red-blue|orange-purple", FOR_EXPLAIN, AT(palette),
     "colours (orange-purple: safe for colour blindness)"},
    {"zoom", 0, COUNT, "N", FOR_EXPLAIN | FOR_PROTOTYPE | FOR_SHEET, AT(zoom), "dots an element in pictures (default: 1)"},
    {"sheet", 0, TEXT, "FILE.png", FOR_EXPLAIN, AT(sheet),
     "contact sheet: a row an input, a column a --method"},
    {"ledger", 0, TEXT, "FILE.json", FOR_EXPLAIN, AT(ledger),
     "account for the relevance at every node"},
    {"top", 0, COUNT, "K", FOR_RUN, AT(top), "how many of the largest to show (default: 5)"},
    {"labels", 'l', TEXT, "FILE", FOR_ITEMS | FOR_PROTOTYPE, AT(labels), "class names, one a line"},
    {"tokens", 0, TEXTS, "[NAME=]IDS", FOR_ITEMS, AT(tokens),
     "an item of token ids, 101,2023,102 (may be repeated)"},
    {"token-labels", 0, TEXT, "FILE", FOR_EXPLAIN, AT(token_labels),
     "names of the tokens, one a line"},
    {"preprocess", 'p', TEXT, "P", FOR_ITEMS | FOR_BENCH | FOR_PROTOTYPE | FOR_FIT, AT(preprocess),
     "imagenet | zero-one | minus-one-one | bytes | none | scale=S,mean=a:b:c,std=a:b:c,bgr"},
    {"fit", 0, CHOICE, "stretch|crop|pad", FOR_ITEMS | FOR_BENCH, AT(fit), "how a picture takes the size"},
    {"graph", 'g', FLAG, NULL, FOR_INFO, AT(graph), "list every node"},
    {"memory", 0, FLAG, NULL, FOR_INFO, AT(memory), "bytes that a call needs"},
    {"explain", 0, FLAG, NULL, FOR_TEST, AT(explain), "also check gradients by differences"},
    {"rounds", 0, COUNT, "N", FOR_BENCH, AT(rounds), "how often to time each (default: 10)"},
    {"layers", 0, COUNT, "N", FOR_BENCH, AT(layers), "also the N dearest layers of each call"},
    {"threads", 0, COUNT, "N", FOR_ALL, AT(threads), "default: one per processor"},
    {"random-seed", 0, COUNT, "N", FOR_ALL, AT(random_seed), "of everything random (default: 0)"},
    {"max-memory", 0, BYTES, "BYTES", FOR_ALL, AT(max_memory), "limit, as 500M or 4G"},
    {"timeout", 0, NUMBER, "S", FOR_ALL, AT(timeout), "give up after S seconds"},
    {"quiet", 'q', FLAG, NULL, FOR_ALL, AT(quiet), "no notes, no progress bar"},
    {"json", 'j', FLAG, NULL, FOR_ALL, AT(json), "print JSON"},
    {"version", 'V', FLAG, NULL, FOR_ALL, AT(version), "print the versions"},
    {"help", 'h', FLAG, NULL, FOR_ALL, AT(help), "print this"},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static int texts_add(struct texts *t, const char *text) {
  const char **v = realloc(t->v, (t->n + 1) * sizeof *v);
  if (!v)
    return say_no_memory();
  t->v = v;
  t->v[t->n++] = text;
  return EXIT_FINE;
}

static bool is_choice(const char *choices, const char *text) {
  size_t n = strlen(text);
  for (const char *p = choices; *p;) {
    size_t length = strcspn(p, "|");
    if (length == n && !memcmp(p, text, n))
      return true;
    p += length + (p[length] == '|');
  }
  return false;
}

/* A whole number with an optional suffix of `suffixes` (K, M, G, T: powers of 1024). */
static int parse_count(const struct row *r, const char *text, const char *suffixes, int64_t *out) {
  char *end;
  errno = 0;
  long long n = strtoll(text, &end, 10);
  bool bad = end == text || errno || n < 0 || strpbrk(text, " \t\n");
  const char *suffix = *end ? strchr(suffixes, *end & ~0x20) : NULL;
  if (suffix) {
    for (const char *s = suffixes; s <= suffix; s++) {
      if (n > INT64_MAX / 1024)
        bad = true;
      else
        n *= 1024;
    }
    end++;
    if (*end == 'i')
      end++;
    if (*end == 'B')
      end++;
  }
  if (bad || *end) {
    return say(EXIT_USAGE, "--%s takes a whole number%s, not '%s'", r->name,
               *suffixes ? " (with K, M, G or T)" : "", text);
  }
  *out = n;
  return EXIT_FINE;
}

static int store(const struct row *r, const char *text, struct options *o) {
  void *field = (char *)o + r->offset;
  if (r->kind == FLAG) {
    *(bool *)field = true;
  } else if (r->kind == TEXTS) {
    return texts_add(field, text);
  } else if (r->kind == TEXT || r->kind == CHOICE) {
    if (r->kind == CHOICE && !is_choice(r->value, text)) {
      return say(EXIT_USAGE, "--%s takes %s, not '%s'", r->name, r->value, text);
    }
    *(const char **)field = text;
  } else if (r->kind == NUMBER) {
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end || !isfinite(x) || x < 0) {
      return say(EXIT_USAGE, "--%s takes a number, not '%s'", r->name, text);
    }
    *(double *)field = x;
  } else {
    return parse_count(r, text, r->kind == BYTES ? "KMGT" : "", field);
  }
  return EXIT_FINE;
}

/* Says which option getopt_long stumbled over. */
static int bad_option(const struct command *c, int failure, char **argv, int letter) {
  char given[80];
  const char *word = argv[optind - 1];
  if (letter && (letter < 256) && strncmp(word, "--", 2)) {
    snprintf(given, sizeof given, "-%c", letter);
  } else {
    snprintf(given, sizeof given, "%.*s", (int)strcspn(word, "="), word);
  }
  if (failure == ':') {
    return say(EXIT_USAGE, "%s takes a value; see 'xai %s --help'", given, c->name);
  }
  const char *names[ROWS];
  size_t n = 0;
  for (size_t i = 0; i < ROWS; i++) {
    if (!strncmp(given, "--", 2) && !strcmp(rows[i].name, given + 2)) {
      if (rows[i].commands & c->bit) {
        return say(EXIT_USAGE, "%s takes no value", given);
      }
      return say(EXIT_USAGE, "%s is no option of 'xai %s'; see 'xai %s --help'", given, c->name,
                 c->name);
    }
    if (rows[i].commands & c->bit)
      names[n++] = rows[i].name;
  }
  const char *near = strncmp(given, "--", 2) ? NULL : say_nearest(given + 2, names, n);
  return say(EXIT_USAGE, "unknown option '%s'%s%s%s; see 'xai %s --help'", given,
             near ? ", did you mean '--" : "", near ? near : "", near ? "'?" : "", c->name);
}

int options_parse(const struct command *c, int argc, char **argv, struct options *o) {
  struct option longs[ROWS + 1];
  char letters[2 * ROWS + 2] = ":";
  size_t n = 0, k = 1;
  memset(o, 0, sizeof *o);
  memset(longs, 0, sizeof longs);
  o->command = c->name;
  for (int i = 0; i < ROWS; i++) {
    if (!(rows[i].commands & c->bit))
      continue;
    longs[n].name = rows[i].name;
    longs[n].has_arg = rows[i].kind == FLAG ? no_argument : required_argument;
    longs[n++].val = 256 + i;
    if (!rows[i].letter)
      continue;
    letters[k++] = rows[i].letter;
    if (rows[i].kind != FLAG)
      letters[k++] = ':';
  }
  letters[k] = 0;
  opterr = 0;
  optind = 1;
  for (int found; (found = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
    if (found == '?' || found == ':')
      return bad_option(c, found, argv, optopt);
    int i = found - 256;
    if (found < 256) {
      for (i = 0; rows[i].letter != found || !(rows[i].commands & c->bit);)
        i++;
    }
    int code = store(&rows[i], optarg, o);
    if (code)
      return code;
  }
  for (int i = optind; i < argc; i++) {
    int code = texts_add(&o->args, argv[i]);
    if (code)
      return code;
  }
  say_quiet(o->quiet);
  return EXIT_FINE;
}

void options_free(struct options *o) {
  struct texts *lists[] = {&o->args, &o->out, &o->methods, &o->rules, &o->at, &o->priors, &o->tokens};
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
    free(lists[i]->v);
  memset(o, 0, sizeof *o);
}

void options_help(const struct command *c) {
  printf("usage: xai %s %s\n\n%s.\n", c->name, c->usage, c->about);
  if (c->more)
    printf("\n%s", c->more);
  printf("\noptions:\n");
  for (size_t i = 0; i < ROWS; i++) {
    const struct row *r = &rows[i];
    if (!(r->commands & c->bit))
      continue;
    char left[64];
    snprintf(left, sizeof left, "%c%c%c --%s%s%s", r->letter ? '-' : ' ',
             r->letter ? r->letter : ' ', r->letter ? ',' : ' ', r->name, r->value ? " " : "",
             r->value ? r->value : "");
    if (strlen(left) > 30)
      printf("  %s\n  %-31s%s\n", left, "", r->help);
    else
      printf("  %-30s %s\n", left, r->help);
  }
}

xai_options options_library(const struct options *o) {
  xai_options out;
  memset(&out, 0, sizeof out);
  out.struct_size = sizeof out;
  out.threads = o->threads > 256 ? 256 : (int32_t)o->threads; /* more are never of use */
  out.max_memory = o->max_memory;
  out.log = o->log;
  out.log_user = o->log_user;
  return out;
}
