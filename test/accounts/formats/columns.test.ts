/** Passwords from the columns of other servers' databases, as credentials that verify. */
import { describe, expect, test } from 'vitest'
import {
  ejabberdPassword,
  mongooseimPasswords,
  openfirePassword,
  prosodyPassword,
  type StoredPassword,
  xep0227Password,
} from '../../../server-core/accounts/formats/columns.ts'
import { UnusableCredential } from '../../../server-core/accounts/formats/format.ts'
import { hexDigestValue } from '../../../server-core/accounts/formats/hex-digest.ts'
import { discourseValue } from '../../../server-core/accounts/formats/pbkdf2.ts'
import { verifyCredential } from '../../../server-core/accounts/password.ts'

const signal = new AbortController().signal

async function expectPassword(stored: StoredPassword, password: string): Promise<void> {
  expect(await verifyCredential(stored, Buffer.from(password), signal)).toBe(true)
  expect(await verifyCredential(stored, Buffer.from(`${password}?`), signal)).toBe(false)
}

/** RFC 5802 §5. */
const sha1 = {
  password: '6dlGYMOdZcOPutkcNY8U2g7vK9Y=',
  serverkey: 'D+CSWLOshSulAsxiupA+qs2/fTE=',
  salt: 'QSXCR+Q6sek8bf92',
  iterationcount: 4096,
}

/** RFC 7677 §3. */
const sha256 = {
  password: 'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=',
  serverkey: 'wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  salt: 'W22ZaJ0SNY7soEsUEjb6gQ==',
  iterationcount: 4096,
}

describe('ejabberd', () => {
  const none = { serverkey: '', salt: '', iterationcount: 0 }

  test('keys without a type are of SHA-1, unless a hash is named before them', async () => {
    expect(ejabberdPassword(sha1).format).toBe('scram-sha-1')
    await expectPassword(ejabberdPassword(sha1), 'pencil')
    const named = ejabberdPassword({ ...sha256, password: `sha256:${sha256.password}` })
    expect(named.format).toBe('scram-sha-256')
    await expectPassword(named, 'pencil')
    expect(() => ejabberdPassword(sha256)).toThrow(UnusableCredential)
  })

  test('keys with a type', async () => {
    await expectPassword(ejabberdPassword({ ...sha1, type: 2 }), 'pencil')
    await expectPassword(ejabberdPassword({ ...sha256, type: 3 }), 'pencil')
    await expectPassword(ejabberdPassword({ ...sha1, type: 0 }), 'pencil')
    expect(() => ejabberdPassword({ ...sha256, type: 2 })).toThrow(UnusableCredential)
    expect(() => ejabberdPassword({ ...sha256, type: 9 })).toThrow(UnusableCredential)
  })

  test('plain ones, also such that look like keys', async () => {
    await expectPassword(ejabberdPassword({ ...none, password: 'pencil' }), 'pencil')
    await expectPassword(ejabberdPassword({ ...none, password: 'sha256:x', type: 1 }), 'sha256:x')
    expect(() => ejabberdPassword({ ...none, password: '' })).toThrow(UnusableCredential)
  })

  test('keys of a password that resourceprep and SASLprep see differently', async () => {
    // From Python's hashlib, over `éx`; a zero-width space goes there, and becomes a space in SASLprep.
    const row = {
      password: 'u+SRf7QzW6L2lRYajMnl3tisj5A=',
      serverkey: 'Ro+SNizW5qgTYWshlVIMHYsimPg=',
      salt: 'MDEyMzQ1Njc4OWFiY2RlZg==',
      iterationcount: 4096,
    }
    await expectPassword(ejabberdPassword(row), 'e\u0301\u200bx')
  })
})

describe('MongooseIM', () => {
  test('one credential for each hash', async () => {
    const details = `==MULTI_SCRAM==,4096,===SHA1===${sha1.salt}|${sha1.password}|${sha1.serverkey},==SHA256==${sha256.salt}|${sha256.password}|${sha256.serverkey}`
    const stored = mongooseimPasswords({ password: '', pass_details: details })
    expect(stored.map(({ format }) => format)).toEqual(['scram-sha-1', 'scram-sha-256'])
    for (const one of stored) await expectPassword(one, 'pencil')
  })

  test('a plain password has no details', async () => {
    for (const pass_details of [null, '']) {
      const [stored] = mongooseimPasswords({ password: 'pencil', pass_details })
      if (stored === undefined) throw new Error('nothing stored')
      await expectPassword(stored, 'pencil')
    }
  })
})

describe('Prosody', () => {
  const account = {
    stored_key: 'f18c311cdbcd650b1d032589992ff74819cdf73f',
    server_key: '1c2ab00bed0d550f1c05979b5a5fd1631cd1d22b',
    salt: '6d74c7a2-bc56-4190-9e4f-da25b901c367',
    iteration_count: 10000.0,
  }

  test('the salt is the text itself', async () => {
    expect(prosodyPassword(account).format).toBe('scram-sha-1')
    await expectPassword(prosodyPassword(account), 'pencil')
  })

  test('a salt as Prosody makes them', async () => {
    const own = {
      stored_key: 'c5b22aab21c5b982c4411530e11f1c3e1d92aafc',
      server_key: '0bf4f6570c3afd12e3fa6d951d97dc220676126c',
      salt: 'a3f1c0de-0000-4000-8000-000000000001',
      iteration_count: 10_000,
    }
    await expectPassword(prosodyPassword(own), 'password')
  })

  test('the length of the keys tells the hash', () => {
    const long = { ...account, stored_key: 'ab'.repeat(32), server_key: 'cd'.repeat(32) }
    expect(prosodyPassword(long).format).toBe('scram-sha-256')
    expect(() => prosodyPassword({ ...account, stored_key: 'ab' })).toThrow(UnusableCredential)
    expect(() => prosodyPassword({ ...account, server_key: long.server_key })).toThrow(UnusableCredential)
  })

  test('plain', async () => {
    await expectPassword(prosodyPassword({ password: 'pencil' }), 'pencil')
  })
})

test('Openfire, with and without a mechanism', async () => {
  const old = { storedKey: sha1.password, serverKey: sha1.serverkey, salt: sha1.salt, iterations: 4096 }
  await expectPassword(openfirePassword(old), 'pencil')
  const row = { storedKey: sha256.password, serverKey: sha256.serverkey, salt: sha256.salt, iterations: 4096 }
  await expectPassword(openfirePassword({ ...row, mechanism: 'SCRAM-SHA-256' }), 'pencil')
  expect(() => openfirePassword({ ...row, mechanism: 'SCRAM-SHA-3' })).toThrow(UnusableCredential)
})

describe('XEP-0227', () => {
  const credentials = {
    mechanism: 'SCRAM-SHA-256',
    iterations: 4096,
    salt: sha256.salt,
    storedKey: sha256.password,
    serverKey: sha256.serverkey,
  }

  test('as it is written', async () => {
    await expectPassword(xep0227Password(credentials), 'pencil')
  })

  test('as ejabberd writes it: base64 of base64', async () => {
    const again = (text: string) => Buffer.from(text).toString('base64')
    const { salt, storedKey, serverKey } = credentials
    const twice = {
      ...credentials,
      salt: again(salt),
      storedKey: again(storedKey),
      serverKey: again(serverKey),
    }
    expect(xep0227Password(twice)).toEqual(xep0227Password(credentials))
  })

  test('keys of no length that fits', () => {
    expect(() => xep0227Password({ ...credentials, storedKey: sha1.password })).toThrow(UnusableCredential)
    expect(() => xep0227Password({ ...credentials, iterations: 4096.5 })).toThrow(UnusableCredential)
  })
})

test('Discourse', async () => {
  const row = {
    password_hash: '4276046987a07f780f75d80296733046a95b8330d350d0d717767237c12c046a',
    password_salt: '5dd8f6cd1c6a3e8e7d3e2f0c7a9b1234',
    password_algorithm: '$pbkdf2-sha256$i=600000,l=32$',
  }
  await expectPassword({ format: 'pbkdf2', value: discourseValue(row) }, 'password')
  expect(() => discourseValue({ ...row, password_algorithm: '$argon2id$' })).toThrow(UnusableCredential)
  expect(() => discourseValue({ ...row, password_salt: '' })).toThrow(UnusableCredential)
})

test('a bare digest', async () => {
  const value = hexDigestValue('sha1', 'A9993E364706816ABA3E25717850C26C9CD0D89D\n')
  await expectPassword({ format: 'hex-digest', value }, 'abc')
})
