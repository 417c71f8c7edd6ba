/**
 * Suites against software that is not ours and may be missing on this machine. A suite whose peer is missing is left out
 * and named at the end of the run; with GATEHOUSE_PEERS=required it fails instead.
 */
import { describe, test } from 'vitest'
import './peers-meta.ts'
import { type PeerName, peers } from './find.ts'

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
