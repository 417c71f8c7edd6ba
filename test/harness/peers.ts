/**
 * Suites against software that is not ours and may be missing on this machine. A suite whose peer is missing is left out
 * and named at the end of the run; with GATEHOUSE_PEERS=required it fails instead.
 */
import { describe, test } from 'vitest'
import './peers-meta.ts'
import { findProgram, slixmppPython } from './find.ts'

interface Peer {
  /** Debian's package. */
  readonly package: string
  found(): boolean
}

const has = (...names: string[]) => names.every((name) => findProgram(name) !== undefined)

export const peers = {
  ejabberd: { package: 'ejabberd', found: () => has('ejabberdctl', 'erl') },
  'go-sendxmpp': { package: 'go-sendxmpp', found: () => has('go-sendxmpp') },
  profanity: { package: 'profanity and tmux', found: () => has('profanity', 'tmux') },
  prosody: { package: 'prosody', found: () => has('prosody') },
  python3: { package: 'python3', found: () => has('python3') },
  slapd: { package: 'slapd', found: () => has('slapd', 'slapadd') },
  slixmpp: { package: 'python3-slixmpp', found: () => slixmppPython() !== undefined },
  tmux: { package: 'tmux', found: () => has('tmux') },
} as const satisfies Record<string, Peer>

export type PeerName = keyof typeof peers

/** `describe` for a suite that needs peers: all of them when it is given a list. */
export function describePeer(needs: PeerName | readonly PeerName[], name: string, suite: () => void): void {
  const missing = (typeof needs === 'string' ? [needs] : needs).filter((need) => !peers[need].found())
  if (missing.length === 0) {
    describe(name, suite)
    return
  }
  const why = missing.map((need) => `${need} (not installed: ${peers[need].package})`).join(', ')
  if (process.env['GATEHOUSE_PEERS'] === 'required') {
    test(name, () => {
      throw new Error(`GATEHOUSE_PEERS=required, but there is no ${why}`)
    })
    return
  }
  describe.skip(name, { meta: { leftOut: why } }, suite)
}
