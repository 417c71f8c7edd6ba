/** What `gatehousectl completion SHELL` prints, in that shell, on a terminal: words, a Tab, and what stands there then. */
import { chmodSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { describePeer } from '../harness/peers.ts'
import { type Server, startServer } from '../harness/server.ts'
import { startTerminal, type Terminal } from '../harness/tmux.ts'

const prompt = 'ready>'
/** Each Tab starts a program, on a machine that may be busy; in milliseconds. */
const patience = 25_000

/** How each is started with no configuration but this file: the prompt, and completion as the manual sets it up. */
const shells = {
  bash: {
    file: 'bashrc',
    setup: `PS1='${prompt} '\neval "$(gatehousectl completion bash)"\n`,
    command: ['bash', '--noprofile', '--rcfile', 'bashrc', '-i'],
  },
  zsh: {
    file: '.zshrc',
    setup: `PS1='${prompt} '\nautoload -U compinit\ncompinit -u -D\neval "$(gatehousectl completion zsh)"\n`,
    command: ['zsh', '--no-globalrcs', '-i'],
  },
  fish: {
    file: 'setup.fish',
    setup: `function fish_prompt; echo -n '${prompt} '; end\ngatehousectl completion fish | source\n`,
    command: ['fish', '--no-config', '--init-command', 'source setup.fish'],
  },
} as const

describePeer('tmux', 'completion', () => {
  let server: Server
  let folder: Folder
  const terminals: Terminal[] = []

  beforeAll(async () => {
    server = await startServer()
    for (const user of ['alice', 'alfred', 'bob']) await server.must('register', user, 'localhost', 'secret')
    folder = temporaryFolder('completion')
    const program = folder.file('gatehousectl')
    writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${programs.gatehousectl}' "$@"\n`)
    chmodSync(program, 0o755)
    writeFileSync(folder.file('users.csv'), '')
  })
  afterEach(async () => {
    for (const terminal of terminals.splice(0)) await terminal.stop()
  })
  afterAll(async () => {
    folder.remove()
    await server.stop()
  })

  async function shell(name: keyof typeof shells): Promise<Terminal> {
    const { file, setup, command } = shells[name]
    writeFileSync(folder.file(file), setup)
    const home = ['HOME', 'ZDOTDIR', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'XDG_CACHE_HOME']
    const environment = [
      `PATH=${folder.path}:${process.env['PATH']}`,
      `GATEHOUSE_SOCKET=${server.socket}`,
      ...home.map((variable) => `${variable}=${folder.path}`),
    ]
    const terminal = await startTerminal(['env', '-C', folder.path, ...environment, ...command])
    terminals.push(terminal)
    await terminal.shows(prompt, patience)
    return terminal
  }

  for (const name of ['bash', 'zsh', 'fish'] as const) {
    describePeer(name, `in ${name}`, () => {
      test.each([
        ['a command', 'kick_se', 'kick_session ^'],
        ['a command with a long name', 'connected_users_n', 'connected_users_number ^'],
        ['an option', '--dry', '--dry-run ^'],
        ['the value of an option', 'stats --output c', 'stats --output csv ^'],
        ['a user', 'check_account bo', 'check_account bob ^'],
        ['a host', 'check_account alice loc', 'check_account alice localhost ^'],
        ['one of a few values', 'stats uptime', 'stats uptimeseconds ^'],
        ['a command behind help', 'help kick_se', 'help kick_session ^'],
        ['a file where nothing else is known', 'import_users us', 'import_users users.csv ^'],
      ])('%s', async (_, typed, becomes) => {
        const terminal = await shell(name)
        await terminal.type(`gatehousectl ${typed}`)
        await terminal.press('Tab')
        // What is typed behind it shows where the word has ended; the shell reads it when it has completed.
        await terminal.type('^')
        await terminal.shows(`${prompt} gatehousectl ${becomes}`, patience)
      })

      test('several that a word may become are listed', async () => {
        const terminal = await shell(name)
        await terminal.type('gatehousectl check_account al')
        await terminal.press('Tab', 'Tab')
        await terminal.shows(/alfred\s+alice/, patience)
      })
    })
  }

  test('an unknown shell is refused with the list', async () => {
    expect(await server.ctl(['completion', 'tcsh'])).toMatchObject({ code: 2, stdout: '' })
  })
})
