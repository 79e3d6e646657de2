/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What connection tracking knows of a packet's addresses before and after NAT. */
#ifndef SLUICE_CONNTRACK_H
#define SLUICE_CONNTRACK_H

#include "frame.h"

#define NFCT_INFO 7UL /* the low bits of skb->_nfct */
#define CT_REPLY 3 /* IP_CT_ESTABLISHED_REPLY */
#define CT_RELATED_REPLY 4
#define IPS_SRC_NAT (1UL << 4)
#define IPS_DST_NAT (1UL << 5)
#define NFPROTO_IPV4 2

static __always_inline struct nf_conn *conntrack_of(struct sk_buff *skb)
{
	unsigned long ct = skb->_nfct & ~NFCT_INFO;

	return ct ? cast((void *)ct, struct nf_conn) : 0;
}

static __always_inline bool is_reply(struct sk_buff *skb)
{
	unsigned long info = skb->_nfct & NFCT_INFO;

	return info == CT_REPLY || info == CT_RELATED_REPLY;
}

static __always_inline void read_addr(struct addr *a, const union nf_inet_addr *from, __u16 family)
{
	if (family == NFPROTO_IPV4) {
		map_v4(a, from->all[0]);
		return;
	}
	a->w[0] = from->all[0];
	a->w[1] = from->all[1];
	a->w[2] = from->all[2];
	a->w[3] = from->all[3];
}

#endif
