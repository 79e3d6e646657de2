/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to what it is. Headers are read where the frame says they are;
 * what cannot be read that way gets its own kind instead of a guess.
 */
#ifndef SLUICE_FRAME_H
#define SLUICE_FRAME_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/in.h>
#include "addr.h"
#include "maps.h"

#define IPPROTO_ICMP6 58
#define ICMP_LEN 8 /* of the least message */

/* Types, by IANA. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIMESTAMP 13
#define ICMP_MASK_REPLY 18 /* from ICMP_TIMESTAMP to here: requests, each followed by its reply */
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMP6_ECHO 128
#define ICMP6_ECHOREPLY 129
#define ND_FIRST 133 /* router solicitation */
#define ND_SOLICIT 135
#define ND_ADVERT 136
#define ND_LAST 137 /* redirect */
#define ICMP_REDIRECT 5
#define ND_ROUTER_ADVERT 134
#define MAX_EXTENSIONS 8
#define IPPROTO_SHIM6 140
#define IPPROTO_HIP 139
#define MF 0x2000 /* more fragments (IPv4) */
#define OFFSET 0x1fff /* of a fragment (IPv4), in units of 8 bytes */
#define VID 0xfff
#define MAX_TAGS 2 /* within a frame, besides the one that the kernel takes out */

enum kind {
	KIND_FLOW, /* addresses, protocol and ports are known */
	KIND_LINK, /* ARP, neighbour discovery, multicast listener reports */
	KIND_ERROR, /* ICMP error; inner_* hold the frame it speaks of */
	KIND_FRAGMENT, /* not the first: no ports */
	KIND_SPOOFED, /* what no pod may send: redirects, IPv4 within IPv6 addresses */
	KIND_MALFORMED,
	KIND_OTHER, /* neither IP nor ARP */
};

struct frame {
	struct addr src, dst;
	__be16 sport, dport;
	struct addr inner_src, inner_dst;
	__be16 inner_sport, inner_dport;
	__u8 protocol, inner_protocol;
	__u8 tcp_flags;
	__u8 kind;
	__u8 tcp_words; /* header length in 32-bit words */
	__u8 link_type; /* ICMPv6 type of neighbour discovery and the like; 0: none */
	__u8 more; /* further fragments follow */
	__u8 hops; /* IPv6 hop limit; 0 for IPv4 */
	__u8 tagged; /* 1: of a VLAN */
	__u8 piece; /* protocol that the pieces of its datagram bear */
	__u8 split; /* 1: it says that it is a fragment, be it the only one */
	__u8 _pad;
	__u32 datagram; /* identification, of a fragment */
	__u32 offset; /* of a fragment, bytes */
	__u32 payload; /* where what may be fragmented begins */
	__u32 at; /* offset of the next header to read */
	__u32 end; /* of the IP packet: what follows is padding */
};

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

/*
 * What stands for ports: of a question and its answer the identifier, on the side
 * that asks, and the type of the question on the other; else the type alone.
 */
static __always_inline void icmp_ports(__u8 protocol, const __u8 *b, __be16 *sport, __be16 *dport)
{
	bool v4 = protocol == IPPROTO_ICMP, answer = false;
	__be16 id = *(__be16 *)(b + 4);
	__u8 ask = b[0];

	if (v4 ? ask == ICMP_ECHOREPLY : ask == ICMP6_ECHOREPLY) {
		answer = true;
		ask = v4 ? ICMP_ECHO : ICMP6_ECHO;
	} else if (v4 && ask >= ICMP_TIMESTAMP && ask <= ICMP_MASK_REPLY) {
		answer = !(ask & 1);
		ask -= answer;
	} else if (v4 ? ask != ICMP_ECHO : ask != ICMP6_ECHO) {
		*sport = *dport = bpf_htons(ask);
		return;
	}
	*sport = answer ? bpf_htons(ask) : id;
	*dport = answer ? id : bpf_htons(ask);
}

/* Ports at `at`. */
static __always_inline bool parse_ports(struct __sk_buff *skb, __u32 at, __u32 end, __u8 protocol, __be16 *sport,
					__be16 *dport, struct frame *f)
{
	__u8 b[14];

	switch (protocol) {
	case IPPROTO_TCP:
		if (at + 14 > end || bpf_skb_load_bytes(skb, at, b, 14))
			return false;
		f->tcp_flags = b[13];
		f->tcp_words = b[12] >> 4;
		break;
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		if (at + 4 > end || bpf_skb_load_bytes(skb, at, b, 4))
			return false;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMP6:
		if (at + ICMP_LEN > end || bpf_skb_load_bytes(skb, at, b, 8))
			return false;
		icmp_ports(protocol, b, sport, dport);
		return true;
	default:
		*sport = *dport = 0;
		return true;
	}
	*sport = *(__be16 *)b;
	*dport = *(__be16 *)(b + 2);
	return true;
}

static __always_inline bool is_icmp_error(__u8 protocol, __u8 type)
{
	if (protocol == IPPROTO_ICMP)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
	return protocol == IPPROTO_ICMP6 && type >= 1 && type <= 4;
}

static __always_inline bool is_link_icmp6(__u8 type)
{
	return (type >= ND_FIRST && type <= ND_LAST) || (type >= 130 && type <= 132) || type == 143;
}

/* An IP header and its extensions: where to read it, and what it says. */
struct header {
	struct addr src, dst;
	__u32 at; /* in: of the header; out: of what follows it */
	__u32 end;
	__u32 datagram; /* identification, of a fragment */
	__u32 offset; /* of a fragment, bytes */
	__u32 payload; /* where what may be fragmented begins */
	__u8 protocol;
	__u8 piece; /* protocol that the pieces of its datagram bear */
	__u8 v6;
	__u8 hops;
	__u8 more; /* further fragments follow */
	__u8 split;
	__u8 _pad[2];
};

/* Skips extension headers, in any order; false: malformed, or too many of them. */
static __always_inline bool skip_extensions(struct __sk_buff *skb, struct header *ip)
{
	__u8 h[8];

	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		switch (ip->protocol) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_MH:
		case IPPROTO_HIP:
		case IPPROTO_SHIM6:
		case IPPROTO_AH:
		case IPPROTO_FRAGMENT:
			break;
		default:
			return true;
		}
		if (i == MAX_EXTENSIONS || bpf_skb_load_bytes(skb, ip->at, h, 8))
			return false;
		if (ip->protocol == IPPROTO_FRAGMENT) {
			ip->offset = bpf_ntohs(*(__be16 *)(h + 2)) & 0xfff8;
			ip->more = h[3] & 1;
			ip->split = 1;
			ip->datagram = *(__u32 *)(h + 4);
			ip->at += 8;
			ip->payload = ip->at;
			ip->piece = h[0];
		} else {
			ip->at += ip->protocol == IPPROTO_AH ? ((__u32)h[1] + 2) * 4 : ((__u32)h[1] + 1) * 8;
		}
		ip->protocol = h[0];
		if (ip->offset)
			return true;
	}
	return false;
}

/*
 * Reads the header at ip->at, outer or quoted by an ICMP error: its enum kind. A
 * global function: the verifier looks at it once, not once for each way to it.
 */
__noinline int parse_ip(struct __sk_buff *skb, struct header *ip)
{
	struct ipv6hdr h6;
	struct iphdr h;
	__u16 len;

	if (!ip)
		return KIND_MALFORMED;
	if (ip->v6) {
		if (bpf_skb_load_bytes(skb, ip->at, &h6, sizeof(h6)) || h6.version != 6)
			return KIND_MALFORMED;
		__builtin_memcpy(&ip->src, &h6.saddr, 16);
		__builtin_memcpy(&ip->dst, &h6.daddr, 16);
		ip->protocol = h6.nexthdr;
		ip->hops = h6.hop_limit;
		if (is_v4(&ip->src) || is_v4(&ip->dst))
			return KIND_SPOOFED; /* would be taken for IPv4 */
		len = bpf_ntohs(h6.payload_len);
		ip->end = len ? ip->at + sizeof(h6) + len : skb->len; /* 0: larger than 64 KiB (BIG TCP) */
		ip->at += sizeof(h6);
		if (!skip_extensions(skb, ip))
			return KIND_MALFORMED;
	} else {
		if (bpf_skb_load_bytes(skb, ip->at, &h, sizeof(h)) || h.version != 4 || h.ihl < 5)
			return KIND_MALFORMED;
		map_v4(&ip->src, h.saddr);
		map_v4(&ip->dst, h.daddr);
		ip->protocol = h.protocol;
		len = bpf_ntohs(h.tot_len);
		ip->end = len ? ip->at + len : skb->len;
		ip->at += h.ihl * 4;
		ip->payload = ip->at;
		ip->piece = h.protocol;
		ip->offset = (bpf_ntohs(h.frag_off) & OFFSET) * 8;
		ip->more = (bpf_ntohs(h.frag_off) & MF) != 0;
		ip->datagram = h.id;
		ip->split = ip->more || ip->offset;
	}
	return ip->offset ? KIND_FRAGMENT : KIND_FLOW;
}

/* The frame that an ICMP error quotes. RFC 792 grants its first 8 bytes: ports. */
static __always_inline void parse_inner(struct __sk_buff *skb, bool v6, struct frame *f)
{
	struct header ip = { .at = f->at + 8, .v6 = v6 };
	__u8 b[8];

	if (parse_ip(skb, &ip) != KIND_FLOW)
		return;
	f->inner_src = ip.src;
	f->inner_dst = ip.dst;
	f->inner_protocol = ip.protocol;
	if (ip.protocol == IPPROTO_ICMP || ip.protocol == IPPROTO_ICMP6) {
		if (!parse_ports(skb, ip.at, ip.end, ip.protocol, &f->inner_sport, &f->inner_dport, f))
			return;
	} else {
		if (bpf_skb_load_bytes(skb, ip.at, b, 8))
			return;
		f->inner_sport = *(__be16 *)b;
		f->inner_dport = *(__be16 *)(b + 2);
	}
	f->kind = KIND_ERROR;
}

#define ND_LEN 24 /* of a solicitation or advertisement: up to its target */
#define LINK_LEN 32 /* of one with one link-layer address */

/*
 * Is this neighbour discovery (RFC 4861) or multicast listener discovery that can
 * only be for the link? Hop limit 255 or 1, to a group or a link-local address, or
 * to a neighbour's own address with nothing in it but that. Else it is judged like
 * any ICMPv6.
 */
static __always_inline bool is_link_frame(struct __sk_buff *skb, const struct frame *f, __u8 type)
{
	struct addr target;

	if (type < ND_FIRST || type > ND_LAST)
		return f->hops == 1 && is_multicast(&f->dst);
	if (f->hops != 255 || ((type == ND_SOLICIT || type == ND_ADVERT) && f->end - f->at < ND_LEN))
		return false;
	if (is_multicast(&f->dst) || is_link_local(&f->dst))
		return true;
	if (f->end - f->at > LINK_LEN || bpf_skb_load_bytes(skb, f->at + 8, &target, sizeof(target)))
		return false;
	return type == ND_ADVERT || (type == ND_SOLICIT && same_addr(&target, &f->dst));
}

/* ICMP and ICMPv6: what is for the link, what is an error, what only routers send. */
static __always_inline void parse_icmp(struct __sk_buff *skb, bool v6, struct frame *f)
{
	__u8 type;

	if (f->at + ICMP_LEN > f->end || bpf_skb_load_bytes(skb, f->at, &type, 1)) {
		f->kind = KIND_MALFORMED;
		return;
	}
	if (!v6 && f->protocol == IPPROTO_ICMP && type == ICMP_REDIRECT) {
		f->kind = KIND_SPOOFED;
		return;
	}
	if (v6 && f->protocol == IPPROTO_ICMP6 && is_link_icmp6(type)) {
		f->link_type = type;
		if (is_link_frame(skb, f, type))
			f->kind = KIND_LINK;
		return;
	}
	if (is_icmp_error(f->protocol, type))
		parse_inner(skb, v6, f);
}

/* Goes behind the VLAN tags of a frame; its protocol, and in f where that begins. */
static __always_inline __be16 skip_tags(struct __sk_buff *skb, struct frame *f)
{
	__be16 protocol = skb->protocol, tag[2];

	f->at = ETH_HLEN;
	if (skb->vlan_present && skb->vlan_tci & VID)
		f->tagged = 1;
	for (int i = 0; i < MAX_TAGS; i++) {
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			return protocol;
		if (bpf_skb_load_bytes(skb, f->at, tag, sizeof(tag)))
			return 0;
		if (tag[0] & bpf_htons(VID)) /* 0 is a priority, and no VLAN */
			f->tagged = 1;
		protocol = tag[1];
		f->at += sizeof(tag);
	}
	return protocol;
}

/* Global, see parse_ip. */
__noinline int parse_frame(struct __sk_buff *skb, struct frame *f)
{
	struct header ip = {};
	__be16 protocol;

	if (!f)
		return 0;
	protocol = skip_tags(skb, f);
	if (protocol == bpf_htons(ETH_P_ARP)) {
		f->kind = KIND_LINK;
		return 0;
	}
	ip.v6 = protocol == bpf_htons(ETH_P_IPV6);
	if (!ip.v6 && protocol != bpf_htons(ETH_P_IP)) {
		f->kind = KIND_OTHER;
		return 0;
	}
	ip.at = f->at;
	f->kind = parse_ip(skb, &ip);
	f->src = ip.src;
	f->dst = ip.dst;
	f->protocol = ip.protocol;
	f->hops = ip.hops;
	f->at = ip.at;
	f->end = ip.end;
	f->datagram = ip.datagram;
	f->offset = ip.offset;
	f->payload = ip.payload;
	f->piece = ip.piece;
	f->more = ip.more;
	f->split = ip.split;
	if ((f->kind == KIND_FLOW || f->kind == KIND_FRAGMENT) && (ip.at > ip.end || ip.end > skb->len))
		f->kind = KIND_MALFORMED; /* cut short */
	if (f->kind == KIND_FLOW && (f->protocol == IPPROTO_ICMP || f->protocol == IPPROTO_ICMP6))
		parse_icmp(skb, ip.v6, f);
	if (f->kind == KIND_FLOW && !parse_ports(skb, f->at, f->end, f->protocol, &f->sport, &f->dport, f))
		f->kind = KIND_MALFORMED;
	return 0;
}

#endif
