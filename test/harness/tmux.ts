/** Terminal programs, driven as a person does: keys in, the screen out. Each has its own tmux server. */
import { until } from './deadline.ts'
import { findProgram } from './find.ts'
import { run } from './process.ts'

export interface Terminal {
  /** Types the text as it is. */
  type(text: string): Promise<void>
  /** Presses keys by tmux's names: Enter, Escape, C-c, Up. */
  press(...keys: string[]): Promise<void>
  /** What is on the screen now. */
  screen(): Promise<string>
  /** Waits until the screen shows this, and gives the screen. */
  shows(wanted: string | RegExp, ms?: number): Promise<string>
  stop(): Promise<void>
}

let serial = 0

export async function startTerminal(
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
  size: { readonly columns: number; readonly rows: number } = { columns: 120, rows: 40 },
): Promise<Terminal> {
  const name = `gh${process.pid}x${serial++}`
  const tmux = async (...args: string[]) => {
    const result = await run(findProgram('tmux') ?? 'tmux', ['-u', '-L', name, '-f', '/dev/null', ...args], {
      env: { TERM: 'xterm-256color', LC_ALL: 'C.UTF-8', ...env },
    })
    if (result.code !== 0) throw new Error(`tmux ${args[0]}: ${result.stderr}`)
    return result.stdout
  }
  const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  // Somebody holds the terminal after the program's end, so that its last words can be read: tmux alone loses them now and then.
  const held = `trap : INT QUIT; ${quoted}; exec sleep 600`
  await tmux(
    ...['new-session', '-d', '-s', 'main', '-x', String(size.columns), '-y', String(size.rows), held],
  )
  const screen = () => tmux('capture-pane', '-p', '-t', 'main')
  return {
    async type(text) {
      await tmux('send-keys', '-t', 'main', '-l', text)
    },
    async press(...keys) {
      await tmux('send-keys', '-t', 'main', ...keys)
    },
    screen,
    async shows(wanted, ms) {
      let last = ''
      return await until(
        () => `the terminal to show ${wanted}; it shows:\n${last}`,
        async () => {
          last = await screen()
          const shown = typeof wanted === 'string' ? last.includes(wanted) : wanted.test(last)
          return shown ? last : undefined
        },
        ms,
      )
    },
    async stop() {
      await tmux('kill-server').catch(() => '')
    },
  }
}
