/** Where the tests find what they run. */
import { resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')

export const programs = {
  gatehouse: `${root}/dist/gatehouse.js`,
  gatehousectl: `${root}/dist/gatehousectl.cjs`,
  extauth: `${root}/dist/gatehouse-extauth`,
} as const

export const peerFixtures = `${root}/fixtures/peers`

export const ldapFixtures = `${root}/fixtures/ldap`
