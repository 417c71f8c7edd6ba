/** The table of services. */
import type { ServiceSpec } from '../extend/services.ts'
import { serviceAdminExtra } from './service-admin-extra.ts'
import { serviceCache } from './service-cache.ts'
import { servicePrometheus } from './service-prometheus.ts'

export const services: readonly ServiceSpec[] = [serviceAdminExtra, serviceCache, servicePrometheus]
