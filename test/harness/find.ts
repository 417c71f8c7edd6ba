/** Other people's programs on this machine: whether they are installed, and where. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Debian keeps servers in sbin, which is not on everybody's PATH. */
const searchPath = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/bin']

/** Where a program is; undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  return searchPath
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

let python: string | false | undefined

/** A Python that has slixmpp: Debian's package belongs to Debian's interpreter, not to the first one on the PATH. */
export function slixmppPython(): string | undefined {
  python ??=
    ['/usr/bin/python3', findProgram('python3')].find(
      (path) => path !== undefined && spawnSync(path, ['-c', 'import slixmpp']).status === 0,
    ) ?? false
  return python === false ? undefined : python
}

interface Peer {
  /** Debian's package. */
  readonly package: string
  found(): boolean
}

const has = (...names: string[]) => names.every((name) => findProgram(name) !== undefined)

function resolves(name: string): boolean {
  try {
    import.meta.resolve(name)
    return true
  } catch {
    return false
  }
}

export const peers = {
  bash: { package: 'bash', found: () => has('bash') },
  ejabberd: { package: 'ejabberd', found: () => has('ejabberdctl', 'erl') },
  '@xmpp/client': { package: '@xmpp/client of npm', found: () => resolves('@xmpp/client') },
  fail2ban: { package: 'fail2ban', found: () => has('fail2ban-regex') },
  fish: { package: 'fish', found: () => has('fish') },
  'go-sendxmpp': { package: 'go-sendxmpp', found: () => has('go-sendxmpp') },
  profanity: { package: 'profanity and tmux', found: () => has('profanity', 'tmux') },
  prosody: { package: 'prosody', found: () => has('prosody') },
  python3: { package: 'python3', found: () => has('python3') },
  slapd: { package: 'slapd', found: () => has('slapd', 'slapadd') },
  slixmpp: { package: 'python3-slixmpp', found: () => slixmppPython() !== undefined },
  tmux: { package: 'tmux', found: () => has('tmux') },
  zsh: { package: 'zsh', found: () => has('zsh') },
} as const satisfies Record<string, Peer>

export type PeerName = keyof typeof peers
