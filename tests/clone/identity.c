/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a clone has of its own: addresses, UUID, generation id, cables; and what it shares with its parent: the bytes of fw_cfg.
 */
#include "machine.h"

#include "devices/e1000.h"
#include "vm/clone.h"
#include "vm/lab.h"

static const uint8_t new_mac[NET_MAC_SIZE] = {0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc};
static const char new_uuid[] = "01234567-89ab-cdef-0123-456789abcdef";

static struct vm *clone_of(struct vm *parent)
{
    struct vm_config config = parent->config;
    struct clone_figures figures;
    struct error error = {{0}};
    struct vm *vm;

    config.name = "clone";
    config.uuid = new_uuid;
    if (config.net.nic_count) {
        memcpy(config.net.nic[0].mac, new_mac, NET_MAC_SIZE);
    }
    vm = clone_create(parent, &config, &figures, &error);
    cr_assert_not_null(vm, "%s", error.text);
    return vm;
}

static struct e1000 *adapter_of(struct vm *vm)
{
    return pc_nic_port(vm->pc, 0)->owner;
}

static void expect_eeprom(const struct e1000 *nic, const uint8_t *mac)
{
    uint16_t sum = 0;

    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(nic->eeprom.word[i], load_le16(mac + 2 * i));
    }
    for (unsigned i = 0; i < E1000_EEPROM_WORDS; i++) {
        sum = (uint16_t)(sum + nic->eeprom.word[i]);
    }
    cr_assert_eq(sum, 0xbaba, "the checksum of the EEPROM");
}

Test(clone_identity, on_a_shared_segment_the_cable_is_out_until_the_guest_has_another_address)
{
    machine_enter();
    struct vm *vm = machine_create("-accel interp -nic switch,segment=lab,model=e1000");
    uint8_t old_mac[NET_MAC_SIZE];
    memcpy(old_mac, adapter_of(vm)->factory_mac, NET_MAC_SIZE);
    uint32_t station = adapter_of(vm)->ra[0];
    struct vm *clone = clone_of(vm);
    expect_eeprom(adapter_of(vm), old_mac);
    expect_eeprom(adapter_of(clone), new_mac);
    cr_assert_eq(adapter_of(clone)->ra[0], station, "the driver's, until it looks again");
    cr_assert(net_port_is_up(pc_nic_port(vm->pc, 0)));
    cr_assert_not(net_port_is_up(pc_nic_port(clone->pc, 0)));
    pc_reset(clone->pc);
    cr_assert_eq(adapter_of(clone)->ra[0], load_le32(new_mac));
    net_port_set_link(pc_nic_port(clone->pc, 0), true);
    cr_assert(net_port_is_up(pc_nic_port(clone->pc, 0)));
    vm_destroy(vm);
    vm_destroy(clone);
    machine_leave();
}

Test(clone_identity, in_a_network_of_its_own_the_cable_is_in)
{
    machine_enter();
    struct vm *vm = machine_create("-accel interp -nic user,model=e1000");
    adapter_of(vm)->icr = 0;
    struct vm *clone = clone_of(vm);
    expect_eeprom(adapter_of(clone), new_mac);
    cr_assert(net_port_is_up(pc_nic_port(clone->pc, 0)));
    vm_destroy(clone);
    vm_destroy(vm);
    machine_leave();
}

static uint64_t generation_of(struct vm *vm, unsigned half)
{
    return addr_space_read(pc_memory(vm->pc), VMGENID_ADDRESS + 8 * half, 8);
}

Test(clone_identity, another_generation)
{
    machine_enter();
    struct vm *vm = machine_create("-accel interp");
    struct vm *clone = clone_of(vm), *second = clone_of(vm);
    cr_assert_neq(generation_of(vm, 0), 0);
    cr_assert_neq(generation_of(clone, 0), generation_of(vm, 0));
    cr_assert_neq(generation_of(clone, 1), generation_of(vm, 1));
    cr_assert_eq(generation_of(clone, 0), generation_of(second, 0),
                 "under -icount it follows from seed and UUID");
    vm_destroy(second);
    vm_destroy(clone);
    vm_destroy(vm);
    machine_leave();
}

Test(clone_identity, another_uuid_and_the_same_files)
{
    machine_enter();
    struct vm *vm = machine_create("-accel interp -fw_cfg name=opt/test,string=hello");
    struct vm *clone = clone_of(vm);
    struct fw_cfg *old = pc_fw_cfg(vm->pc), *new = pc_fw_cfg(clone->pc);
    cr_assert_eq(old->item_count, new->item_count);
    cr_assert_eq(fw_cfg_find_item(new, FW_CFG_UUID)->bytes[1], 0x23);
    cr_assert_neq(fw_cfg_find_item(old, FW_CFG_UUID)->bytes[1], 0x23);
    cr_assert_eq(fw_cfg_find_file(new, "opt/test")->bytes, fw_cfg_find_file(old, "opt/test")->bytes);
    vm_destroy(vm);
    cr_assert_arr_eq(fw_cfg_find_file(new, "opt/test")->bytes, "hello", 5, "the clone's, too");
    vm_destroy(clone);
    machine_leave();
}

Test(clone_identity, without_a_bios_the_kernel_is_the_parents)
{
    machine_enter();
    struct vm *vm = machine_create("-accel interp -m 8 -bios builtin -kernel builtin");
    struct vm *early = clone_of(vm);
    struct fw_cfg *old = pc_fw_cfg(vm->pc), *new = pc_fw_cfg(early->pc);
    cr_assert_eq(old->item_count, new->item_count);
    cr_assert_eq(fw_cfg_find_file(new, "opt/hypatia/kernel")->bytes,
                 fw_cfg_find_file(old, "opt/hypatia/kernel")->bytes);
    machine_run_to(vm, 200000);
    struct vm *late = clone_of(early), *other = clone_of(vm);
    vm_destroy(vm);
    machine_run_to(early, 200000);
    machine_run_to(late, 200000);
    struct machine_look look = machine_look(early);
    machine_expect(late, &look, "the clone's clone");
    cr_assert_eq(vm_memory_hash(other), look.memory, "the clone of the running one");
    cr_assert_eq(other->cpu->rip, early->cpu->rip);
    vm_destroy(early);
    vm_destroy(late);
    vm_destroy(other);
    machine_leave();
}

/* ---- its section of the lab ---- */

static void make_lab(struct lab *lab, const char *text)
{
    struct error error = {{0}};
    FILE *file = fopen("lab.ini", "w");

    fputs(text, file);
    fclose(file);
    lab_init(lab);
    cr_assert_eq(lab_add_file(lab, "lab.ini", &error), 0, "%s", error.text);
}

static const struct vm_config *add_clone(struct lab *lab, const char *name)
{
    struct error error = {{0}};
    struct lab_vm *vm = lab_add_clone(lab, "one", name, &error);

    cr_assert_not_null(vm, "%s", error.text);
    cr_assert_eq(lab_check(lab, &error), 0, "%s", error.text);
    return &vm->config;
}

Test(clone_identity, outputs_get_the_clones_name)
{
    struct lab lab;

    machine_enter();
    make_lab(&lab,
             "[vm \"one\"]\nm = 16\nserial = file:one.log\nserial = unix:one.sock,server,nowait\n"
             "debugcon = pty\nfirmware-log = tcp:127.0.0.1:7777,server,nowait\nD = trace\nresult = r.json\n"
             "snapshots = store\nweight = 17\n");
    const struct vm_config *config = add_clone(&lab, "two");
    cr_assert_str_eq(config->name, "two");
    cr_assert_str_eq(config->serial[0], "file:one.log-two");
    cr_assert_str_eq(config->serial[1], "unix:one.sock-two,server,nowait");
    cr_assert_str_eq(config->debugcon, "pty");
    cr_assert_str_eq(config->firmware_log, "null");
    cr_assert_str_eq(config->log_file, "trace-two");
    cr_assert_str_eq(config->result_file, "r.json-two");
    cr_assert_str_eq(config->snapshots, "store-two");
    cr_assert_eq(lab.vm[1].weight, 17);
    config = add_clone(&lab, "three");
    cr_assert_str_eq(config->serial[0], "file:one.log-three");
    lab_free(&lab);
    machine_leave();
}

Test(clone_identity, networks_do_not_collide)
{
    struct lab lab;

    machine_enter();
    make_lab(&lab, "[vm \"one\"]\nm = 16\nserial = stdio\nnetdev = user,id=a,hostfwd=tcp::8080-:80\n"
                   "device = e1000,netdev=a,mac=52:54:00:00:00:01\nnetdev = socket,id=b,listen=:9000\n"
                   "device = e1000,netdev=b\nnic = switch,segment=lab\n"
                   "object = filter-dump,id=d,netdev=a,file=a.pcap\n");
    const struct vm_config *config = add_clone(&lab, "two");
    const struct net_config *old = &lab.vm[0].config.net, *new = &config->net;
    cr_assert_str_eq(config->serial[0], "null");
    cr_assert_eq(old->backend_count, 3);
    cr_assert_eq(new->backend_count, 2, "nobody else can listen on port 9000");
    cr_assert_eq(new->nic_count, 3);
    cr_assert_str_empty(new->nic[1].netdev);
    cr_assert_eq(new->backend[0].user.forward_count, 0);
    cr_assert_str_eq(new->backend[0].pcap, "a.pcap-two");
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 3; k++) {
            cr_assert_neq(memcmp(old->nic[i].mac, new->nic[k].mac, NET_MAC_SIZE), 0);
        }
    }
    lab_free(&lab);
    machine_leave();
}

Test(clone_identity, uuids_differ_and_follow_from_the_seed_under_icount)
{
    struct lab lab, same;

    machine_enter();
    make_lab(&lab, "[vm \"one\"]\nm = 16\nicount = 3,sleep=off\nseed = 5\n");
    make_lab(&same, "[vm \"one\"]\nm = 16\nicount = 3,sleep=off\nseed = 5\n");
    const char *two = add_clone(&lab, "two")->uuid, *three = add_clone(&lab, "three")->uuid;
    char seeded[40];
    cr_assert_eq(strlen(two), 36);
    cr_assert_str_neq(two, three);
    cr_assert_str_eq(two, add_clone(&same, "two")->uuid);
    strcpy(seeded, two);
    lab_free(&lab);
    lab_free(&same);
    make_lab(&lab, "[vm \"one\"]\nm = 16\n");
    cr_assert_str_neq(add_clone(&lab, "two")->uuid, seeded);
    lab_free(&lab);
    machine_leave();
}

static void expect_refusal(const char *text, const char *parent, const char *name, const char *says)
{
    struct error error = {{0}};
    struct lab lab;

    make_lab(&lab, text);
    bool refused = !lab_add_clone(&lab, parent, name, &error) || lab_check(&lab, &error) < 0;
    cr_assert(refused);
    cr_assert_not_null(strstr(error.text, says), "%s", error.text);
    lab_free(&lab);
}

Test(clone_identity, what_cannot_be_is_refused)
{
    machine_enter();
    expect_refusal("[vm \"one\"]\nm = 16\n", "two", "three", "there is no VM 'two'");
    expect_refusal("[vm \"one\"]\nm = 16\n", "one", "one", "there is a VM 'one' already");
    expect_refusal("[vm \"one\"]\nm = 16\n", "one", "a b", "cannot be a VM's name");
    expect_refusal("[lab]\nmemory-limit = 24M\n[vm \"one\"]\nm = 16\n", "one", "two", "memory-limit");
    machine_leave();
}
