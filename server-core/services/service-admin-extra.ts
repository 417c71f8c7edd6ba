/** service_admin_extra: the commands of mongooseimctl beyond the core, by submod. */
import { z } from 'zod'
import { extraFamilies, submods } from '../admin/commands/index.ts'
import { listOf } from '../config/fields.ts'
import { defineService } from '../extend/services.ts'

export const serviceAdminExtra = defineService({
  name: 'service_admin_extra',
  doc: 'More administration commands, by submod',
  options: {
    submods: listOf(z.enum(submods))
      .default([...submods])
      .describe('the families of commands to have'),
  },
  requires: ['service_cache'],
  start(service, options) {
    for (const name of new Set(options.submods)) {
      for (const spec of extraFamilies[name](service.admin)) service.command(spec)
    }
  },
})
