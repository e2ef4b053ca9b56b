/* Runs single instructions natively: the hardware half of the instruction proof. Our own code; built and started by proof.test.ts.
 *
 * usage: runner INSTANCES RESULTS   (arrays of the structs below)
 *
 *   0x20001000 data page, filled from the instance's seed     0x20002000 the same pattern, read-only     around them: nothing
 *   0x20010000 two pages for the instruction under test        0x20020000 entry and exit code             0x20030000 saved state
 *
 * Entry and exit address their state absolutely, so every general register, RSP included, belongs to the instruction.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define DATA 0x20001000ul
#define SEALED 0x20002000ul
#define SAVE 0x20030000ul

struct instance {
  uint64_t registers[16];
  uint64_t flags;
  uint64_t code_at;
  uint64_t poke_at;
  uint8_t poke[32];
  uint32_t poke_bytes, seed;
  uint8_t code[15], length;
};
struct result {
  uint64_t registers[16];
  uint64_t flags, rip, trap, error, cr2;
  uint32_t hash, pad;
};
struct save {
  uint64_t registers[16]; /* 0 */
  uint64_t flags;         /* 128 */
  uint64_t taken;         /* 136 */
  uint64_t host_stack;    /* 144 */
  uint64_t code_at;       /* 152 */
};

asm(
  ".intel_syntax noprefix\n"
  ".text\n"
  "enter_instance:\n"
  "push rbx; push rbp; push r12; push r13; push r14; push r15\n"
  "mov [0x20030090], rsp\n"
  "push qword ptr [0x20030080]; popfq\n"
  "mov rax,[0x20030000]; mov rcx,[0x20030008]; mov rdx,[0x20030010]; mov rbx,[0x20030018]\n"
  "mov rsp,[0x20030020]; mov rbp,[0x20030028]; mov rsi,[0x20030030]; mov rdi,[0x20030038]\n"
  "mov r8,[0x20030040]; mov r9,[0x20030048]; mov r10,[0x20030050]; mov r11,[0x20030058]\n"
  "mov r12,[0x20030060]; mov r13,[0x20030068]; mov r14,[0x20030070]; mov r15,[0x20030078]\n"
  "jmp qword ptr [0x20030098]\n"
  "leave_fallen:\n"
  "mov qword ptr [0x20030088], 0\n"
  "jmp leave_common\n"
  "leave_taken:\n"
  "mov qword ptr [0x20030088], 1\n"
  "leave_common:\n"
  "mov [0x20030000],rax; mov [0x20030008],rcx; mov [0x20030010],rdx; mov [0x20030018],rbx\n"
  "mov [0x20030020],rsp; mov [0x20030028],rbp; mov [0x20030030],rsi; mov [0x20030038],rdi\n"
  "mov [0x20030040],r8; mov [0x20030048],r9; mov [0x20030050],r10; mov [0x20030058],r11\n"
  "mov [0x20030060],r12; mov [0x20030068],r13; mov [0x20030070],r14; mov [0x20030078],r15\n"
  "mov rsp,[0x20030090]\n"
  "pushfq; pop qword ptr [0x20030080]\n"
  "leave_fault:\n"
  "mov rsp,[0x20030090]\n"
  "push 0x202; popfq\n"
  "pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx\n"
  "ret\n"
  ".att_syntax\n");
extern void enter_instance(void);
extern char leave_fallen[], leave_taken[], leave_fault[];

static struct save *const save = (struct save *)SAVE;
static struct result *out;
static const struct instance *now;
static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void on_signal(int number, siginfo_t *info, void *raw) {
  ucontext_t *u = raw;
  greg_t *g = u->uc_mcontext.gregs;
  (void)number, (void)info;
  /* Traps of a single-stepped instance before its instruction: the entry code, and the jump to it. */
  if (g[REG_TRAPNO] == 1 && (now->flags & 0x100)) {
    uint64_t at = g[REG_RIP];
    if ((at >= (uint64_t)enter_instance && at < (uint64_t)leave_fallen) || (at == now->code_at && out->pad++ == 0)) return;
  }
  for (int n = 0; n < 16; n++) save->registers[n] = g[order[n]];
  save->flags = g[REG_EFL];
  out->rip = g[REG_RIP];
  out->trap = g[REG_TRAPNO];
  out->error = g[REG_ERR];
  out->cr2 = g[REG_TRAPNO] == 14 ? g[REG_CR2] : 0;
  g[REG_RIP] = (greg_t)leave_fault;
  g[REG_RSP] = save->host_stack;
  g[REG_EFL] = 0x202;
}

static void map(uint64_t at, uint64_t bytes, int rights) {
  if (mmap((void *)at, bytes, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)at) {
    perror("runner: mmap at a fixed address");
    exit(2);
  }
}

static uint8_t *stub(uint8_t *at, void *target) {
  static const uint8_t jump[6] = {0xff, 0x25, 0, 0, 0, 0};
  memcpy(at, jump, 6);
  memcpy(at + 6, &target, 8);
  return at + 14;
}

int main(int count, char **words) {
  if (count != 3) return fprintf(stderr, "usage: runner INSTANCES RESULTS\n"), 2;
  map(DATA, 4096, PROT_READ | PROT_WRITE);
  map(SEALED, 4096, PROT_READ | PROT_WRITE);
  map(0x20010000, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
  map(SAVE, 4096, PROT_READ | PROT_WRITE);
  for (uint32_t n = 0; n < 1024; n++) ((uint32_t *)SEALED)[n] = n * 2654435761u;
  mprotect((void *)SEALED, 4096, PROT_READ);
  syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, DATA);
  stack_t alternate = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
  sigaltstack(&alternate, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int caught[] = {SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS};
  for (int n = 0; n < 5; n++) sigaction(caught[n], &action, 0);

  int in = open(words[1], O_RDONLY);
  struct stat shape;
  fstat(in, &shape);
  uint64_t instances = shape.st_size / sizeof(struct instance);
  const struct instance *all = mmap(0, shape.st_size, PROT_READ, MAP_PRIVATE, in, 0);
  struct result *results = calloc(instances, sizeof *results);
  for (uint64_t k = 0; k < instances; k++) {
    now = &all[k];
    out = &results[k];
    uint32_t *data = (uint32_t *)DATA;
    for (uint32_t n = 0; n < 1024; n++) data[n] = (n * 2654435761u) ^ now->seed;
    memcpy((void *)now->poke_at, now->poke, now->poke_bytes);
    memcpy((void *)now->code_at, now->code, now->length);
    uint8_t *after = (uint8_t *)now->code_at + now->length;
    stub(stub(after, leave_fallen), leave_taken);
    memcpy(save->registers, now->registers, sizeof save->registers);
    save->flags = now->flags;
    save->code_at = now->code_at;
    enter_instance();
    memcpy(out->registers, save->registers, sizeof out->registers);
    out->flags = save->flags;
    if (out->rip == 0) {
      out->rip = (uint64_t)after + (save->taken ? 14 : 0);
      out->trap = 255;
    }
    uint32_t hash = 2166136261u;
    for (uint32_t n = 0; n < 1024; n++) hash = (hash ^ data[n]) * 16777619u;
    out->hash = hash;
  }
  FILE *to = fopen(words[2], "wb");
  if (!to || fwrite(results, sizeof *results, instances, to) != instances || fclose(to) != 0) return perror("runner: writing results"), 2;
  return 0;
}
